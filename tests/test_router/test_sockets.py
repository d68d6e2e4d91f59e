from __future__ import annotations

import array
import fcntl
import socket
import termios

from comanda_router.sockets import READ_AHEAD_BYTES, listen


def test_a_client_that_is_not_read_has_little_to_be_copied_at_once() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), timeout=5) as client:
        accepted, _ = listener.accept()
        client.settimeout(0.0)
        sent = 0
        try:
            while True:
                sent += client.send(bytes(READ_AHEAD_BYTES))
        except BlockingIOError:
            pass
        readable = array.array("i", [0])
        fcntl.ioctl(accepted, termios.FIONREAD, readable)
        accepted.close()
    assert sent > 2 * READ_AHEAD_BYTES
    assert 0 < readable[0] <= 2 * READ_AHEAD_BYTES
