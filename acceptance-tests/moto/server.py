"""moto's server on a port of loopback that the kernel chooses: prints the port, and ends with its standard input.  With a
block of loopback addresses (its number) and a speed, its instances can be run: see machines.py."""

import logging
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
application = DomainDispatcherApplication(create_backend_app)
if len(sys.argv) > 1:
    import machines

    application = machines.Machines(application, int(sys.argv[1]), float(sys.argv[2]))
server = make_server("127.0.0.1", 0, application, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
server.shutdown()
