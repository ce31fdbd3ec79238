#!/usr/bin/env python3
"""Delete all topics and schemas of LSST_TOPIC_SUBNAME, as salobj's own tests do."""

import asyncio
import os
import sys
import time

import peers

if not os.environ.get("LSST_TOPIC_SUBNAME", "").startswith("test_"):
    sys.exit("LSST_TOPIC_SUBNAME must begin with test_")
peers.prepare()

from lsst.ts import salobj  # noqa: E402

# The broker counts a killed process as a consumer until its session ends.
deadline = time.monotonic() + 60
while True:
    try:
        asyncio.run(salobj.testutils.delete_kafka_topics())
        break
    except AssertionError as error:
        if time.monotonic() > deadline:
            sys.exit(f"topics of {os.environ['LSST_TOPIC_SUBNAME']} are left: {error}")
        time.sleep(2)
