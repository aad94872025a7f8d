"""A worker of the Python SDK for test_worker_parity.py: does what a job's input says.

    {"return": value}  {"raise": text}  {"sleep": seconds}  {"progress": [value, ...]}  {"yield": [value, ...]}

Argument: a JSON object with "stream", "aggregate", "refresh" (bool) and "concurrency".
"""

import asyncio
import json
import sys

import runpod

options = json.loads(sys.argv.pop())


async def answer(job):
    for value in job["input"].get("progress", []):
        runpod.serverless.progress_update(job, value)
        await asyncio.sleep(0.3)  # each update has a thread and a connection of its own
    await asyncio.sleep(job["input"].get("sleep", 0))
    if "raise" in job["input"]:
        raise ValueError(job["input"]["raise"])
    return job["input"]["return"]


async def stream(job):
    for value in job["input"].get("yield", []):
        yield value
    if "raise" in job["input"]:
        raise ValueError(job["input"]["raise"])


runpod.serverless.start({
    "handler": stream if options["stream"] else answer,
    "return_aggregate_stream": options["aggregate"],
    "refresh_worker": options["refresh"],
    "concurrency_modifier": lambda current: options["concurrency"],
})
