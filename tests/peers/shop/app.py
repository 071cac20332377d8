"""A shop whose handler reads a cache, and answers whether or not the cache does. Prints its port.

/shop/...       reads Redis at 127.0.0.1:REDIS_PORT, answers 200
/answer/STATUS  answers so, after 30 ms
"""

import logging
import os
import time

from flask import Flask
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from werkzeug.serving import make_server

app = Flask(__name__)
# By default the client would try for seconds before it says that a span failed.
cache = Redis(port=int(os.environ.get("REDIS_PORT", 6379)), socket_timeout=1, retry=Retry(NoBackoff(), 0))


@app.get("/shop/<path:item>")
def shop(item):
    try:
        source = "cache" if cache.get(item) else "database"
    except RedisError:
        source = "database"
    return f"{item}, from the {source}\n"


@app.get("/answer/<int:status>")
def answer(status):
    time.sleep(0.03)
    return "as told\n", status


server = make_server("127.0.0.1", 0, app, threaded=True)
# A line for each request would hide what matters when a test fails.
logging.getLogger("werkzeug").setLevel(logging.WARNING)
print("port", server.server_port, flush=True)
server.serve_forever()
