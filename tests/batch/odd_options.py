"""Options whose detector or worker misbehaves; workers import them from here, without what tests import."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.batch.options import AnalyzeOptions
from mien.types import Face

KILLS, RAISES, SLOW = 1, 2, 3  # the top left pixel of a picture tells the detector below what to do


class Odd:
    """A detector that dies, fails or dawdles when the picture says so."""

    def detect(self, image):
        if image[0, 0, 0] == KILLS:
            os.kill(os.getpid(), signal.SIGKILL)
        if image[0, 0, 0] == RAISES:
            raise RuntimeError("a bug")
        if image[0, 0, 0] == SLOW:
            time.sleep(0.3)
        return [Face((0, 0, 48, 48), np.float32([[15, 19], [33, 19], [24, 28], [17, 37], [31, 37]]), 0.5)]


class OddOptions(AnalyzeOptions):
    """Options with that detector; workers find them here by name."""

    detector = Odd

    def load(self):
        detector = self.detector()
        return replace(AnalyzeOptions.load(self), detector=detector, video_detector=detector)


class Mortal(Odd):
    """It kills its process in the fortieth picture, once: then the file that tells it to is gone."""

    def __init__(self):
        self.told, self.calls = Path(os.environ["MIEN_TEST_MORTAL"]), 0

    def detect(self, image):
        self.calls += 1
        if self.calls == 40 and self.told.exists():
            self.told.unlink()
            time.sleep(1)  # until the frames before, which are read in batches, have been given
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(image)


class MortalOptions(OddOptions):
    """Options with that detector."""

    detector = Mortal


class DeadOptions(AnalyzeOptions):
    """Options whose workers die before they are ready."""

    def load(self):
        os._exit(7)
