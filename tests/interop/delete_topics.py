#!/usr/bin/env python3
"""Delete all topics and schemas of LSST_TOPIC_SUBNAME, as salobj's own tests do."""

import asyncio
import os
import sys

import peers

if not os.environ.get("LSST_TOPIC_SUBNAME", "").startswith("test_"):
    sys.exit("LSST_TOPIC_SUBNAME must begin with test_")
peers.prepare()
asyncio.run(peers.delete_topics())
