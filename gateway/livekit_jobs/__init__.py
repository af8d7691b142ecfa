"""What `trunkline worker` runs in each LiveKit job: which persona it gets, with which providers, and its record.

`run` (worker.py) is the main process, `entrypoint` (job.py) a job in a job process.
"""
