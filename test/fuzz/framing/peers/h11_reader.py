"""A server of h11, the parser of uvicorn and httpx, that answers each request with what it read of it."""
import base64
import socket
import sys
import threading

import h11


def serve(client):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 17)
    method, body = b"", b""
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(client.recv(65536))
            elif event is h11.PAUSED:
                if connection.our_state is h11.MUST_CLOSE or connection.their_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
            elif isinstance(event, h11.Request):
                method, body = event.method, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                read = base64.b64encode(method + b"\n" + body)
                if connection.our_state is h11.SEND_RESPONSE:
                    headers = [("X-Read", read), ("Content-Length", "0")]
                    client.sendall(connection.send(h11.Response(status_code=200, headers=headers)))
                    client.sendall(connection.send(h11.EndOfMessage()))
                else:
                    client.sendall(b"HTTP/1.1 200 OK\r\nX-Read: " + read + b"\r\n\r\n")
                    return
            elif isinstance(event, h11.ConnectionClosed):
                return
    except (h11.RemoteProtocolError, h11.LocalProtocolError, OSError):
        pass
    finally:
        client.close()


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
