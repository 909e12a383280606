"""Production defaults of gunicorn, which reads this file by itself: ``gunicorn wallet.wsgi``.

The command line and GUNICORN_CMD_ARGS go before it.
"""

import os

# Behind a proxy that ends TLS and buffers slow clients.
bind = os.environ.get("GUNICORN_BIND", "127.0.0.1:8000")

# A request is mostly a wait for the database: a few threads for each process, and as many database
# connections as workers x threads (count the executors', too, against max_connections).
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = int(os.environ.get("GUNICORN_THREADS", "4"))

# Seconds. Longer than DB_STATEMENT_TIMEOUT_MS, so that the database gives up first and the client
# gets an answer in the envelope. A worker silent for longer is killed; no money is at risk.
timeout = 30
graceful_timeout = 30
keepalive = 5

# A leak of memory somewhere below never grows old; not all workers renew themselves at once.
max_requests = 20_000
max_requests_jitter = 2_000

# Our paths and headers are short.
limit_request_line = 4_094
limit_request_fields = 64
limit_request_field_size = 8_190

# Nobody steers the server through a socket in a home directory.
control_socket_disable = True

# No client chooses SCRIPT_NAME or PATH_INFO by a header; names with "_" cannot pass for ones with
# "-". Whether X-Forwarded-Proto and X-Forwarded-For are believed is said by TRUST_X_FORWARDED_*;
# gunicorn itself believes the scheme from these proxies only.
forwarder_headers = ""
header_map = "drop"
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

# To stdout and stderr. Neither queries nor headers are written, Authorization least of all, but the
# name of the client.
accesslog = "-"
errorlog = "-"
access_log_format = '%(t)s %(h)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms "%(a)s"'
