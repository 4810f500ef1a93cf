"""A camera on 127.0.0.1: frames as MPEG-TS over HTTP, in a process of its own.

``python stream_server.py PORT SECONDS FIRST RATE`` serves one client after another for some
seconds. Frames count on from FIRST and come at RATE per second, as from a camera.
"""

import http.server
import sys
import time

import av
from helpers.made_videos import scene


class _Out:
    """What PyAV writes to: the connection."""

    def __init__(self, wfile):
        self.write = wfile.write


def serve(port: int, seconds: float, first: int, rate: float) -> None:
    begun = time.monotonic()

    def number_now() -> int:
        return first + int((time.monotonic() - begun) * rate)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Type', 'video/mp2t')
            self.end_headers()
            options = {'flush_packets': '1'}
            out = av.open(_Out(self.wfile), 'w', format='mpegts', options=options)
            x264 = {'preset': 'ultrafast', 'tune': 'zerolatency', 'g': '5'}
            stream = out.add_stream('libx264', rate=round(rate), options=x264)
            stream.width, stream.height, stream.pix_fmt = 160, 96, 'yuv420p'
            last, start = -1, number_now()
            try:
                while time.monotonic() - begun < seconds:
                    if (number := number_now()) > last:
                        frame = av.VideoFrame.from_ndarray(scene(number), format='bgr24')
                        frame.pts, last = number - start, number
                        out.mux(stream.encode(frame))
                    time.sleep(0.2 / rate)
            except OSError:  # the client went
                return

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', port), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.timeout = 0.1
    while time.monotonic() - begun < seconds:
        server.handle_request()


if __name__ == '__main__':
    serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
