"""An application's own class: it knows one height and takes 0.3 s to close."""

import time


class Height:
    def __init__(self, config):
        self.network = config.network

    def get_block_height(self):
        return 840000

    def close(self):
        time.sleep(0.3)
