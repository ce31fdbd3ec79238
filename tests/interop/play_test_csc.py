#!/usr/bin/env python3
"""salobj's own TestCsc as a program, with a few tricks that a Remote must cope with.

  play_test_csc.py INDEX [--state enabled ...]

The field `ack` of the command wait, which TestCsc does not use, asks for a trick before the command is carried out:
  1  acknowledgements of other senders come first: failures with the right number and the wrong identity, or origin
  2  CMD_ACK comes first, then CMD_INPROGRESS twice with 1 s each, then it takes 1.5 s
  3  CMD_STALLED is the answer
  4  telemetry `scalars` goes out three times, int0 = 1, 2, 3: the second was sent before the first, the third with it
"""

import asyncio

import peers

peers.prepare()

from lsst.ts import salobj, utils  # noqa: E402

Ack = salobj.sal_enums.SalRetCode


class Tricky(salobj.TestCsc):
    """TestCsc with tricks."""

    async def do_wait(self, data):
        trick, number = data.ack, data.private_seqNum

        def make(ack, **fields):
            return self.salinfo.make_ackcmd(private_seqNum=number, ack=ack, **fields)

        if trick == 1:
            for change in ({"identity": "someone@else"}, {"origin": data.private_origin + 1}):
                sender = {"identity": data.private_identity, "origin": data.private_origin} | change
                await self.salinfo._ackcmd_writer.set_write(
                    private_seqNum=number, ack=Ack.CMD_FAILED, error=1, result="not yours", timeout=0, cmdtype=0, **sender
                )
        elif trick == 2:
            await self.cmd_wait.ack(data, make(Ack.CMD_ACK))
            await self.cmd_wait.ack_in_progress(data, timeout=1, result="one")
            await self.cmd_wait.ack_in_progress(data, timeout=1, result="two")
            await asyncio.sleep(1.5)
            return make(Ack.CMD_COMPLETE, result="tricked")
        elif trick == 3:
            return make(Ack.CMD_STALLED, result="stuck")
        elif trick == 4:
            now = utils.current_tai()
            for value, stamp in ((1, now), (2, now - 0.5), (3, now)):
                self.tel_scalars.set(int0=value)
                sample = self.tel_scalars._prepare_data_to_write()
                sample.private_sndStamp = stamp
                await self.salinfo.write_data(topic_info=self.tel_scalars.topic_info, data_dict=vars(sample))
            return None
        return await super().do_wait(data)


if __name__ == "__main__":
    asyncio.run(Tricky.amain(index=True))
