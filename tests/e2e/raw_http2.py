"""HTTP/2 by hand over TLS, for what no library would send."""
import contextlib
import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = 8


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field without indexing, both strings as they stand (RFC 7541, 6.2.2)."""
    return b"\0" + b"".join(integer(len(text), 7) + text for text in (name.encode(), value.encode()))


def integer(value, bits):
    """RFC 7541, 5.1; the bits before it are zero."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    coded, value = bytearray([most]), value - most
    while value >= 128:
        coded.append(value % 128 + 128)
        value //= 128
    return bytes(coded + bytes([value]))


def call_headers(authority, path, metadata=()):
    """The fields of a gRPC call."""
    fields = {":method": "POST", ":scheme": "https", ":path": path, ":authority": authority,
              "content-type": "application/grpc", "te": "trailers"}
    return b"".join(literal(name, value) for name, value in (*fields.items(), *metadata))


class Connection:
    """A TLS connection that has sent its preface; frames go as they are given."""

    def __init__(self, context, port):
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=30),
                                          server_hostname="localhost")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.close()

    def drain(self):
        """Reads what has come, and forgets it."""
        self.socket.setblocking(False)
        with contextlib.suppress(OSError):
            while self.socket.recv(1 << 16):
                pass
        self.socket.settimeout(30)

    def send(self, data):
        """Whether the other side still takes it."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False
