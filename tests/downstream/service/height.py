"""A class of somebody else's, which knows one height and takes a while to close."""

import time


class Height:
    def __init__(self, config):
        self.network = config.network

    def get_block_height(self):
        return 840000

    def close(self):
        time.sleep(0.3)
