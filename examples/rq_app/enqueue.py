"""Puts an order into the queue: `python enqueue.py user-1 order-17 sarah@example.com`."""

import os
import sys

from redis import Redis
from rq import Queue, Retry
from tasks import track_order

if __name__ == "__main__":
    user, order, email = sys.argv[1:]
    queue = Queue(connection=Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")))
    job = queue.enqueue(track_order, user, order, email, retry=Retry(max=5, interval=[30, 60, 120, 240, 480]))
    print(job.id)
