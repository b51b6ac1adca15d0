"""An analyzer in other processes and threads: pickled, forked, spawned, called from many threads at once.

What could wait without end is tried in a process that is ended after a while.
"""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from mien.analyzer import Analyzer, load
from mien.image import write_image

SECONDS = 240  # after which a process counts as stuck; a busy machine gave 12 CPU seconds in 300
#: A program that has used its analyzer, threads inside the networks, before what follows it.
BEGIN = """
import os, sys
import numpy as np
import mien

analyzer = mien.load(sys.argv[1], threads=3)

def read(path):
    return [face.probabilities.tolist() for face in analyzer.image(path)]

def crops(n):
    return np.random.default_rng(0).integers(0, 256, (n, 48, 48), np.uint8)

if __name__ == "__main__":
    want = read(sys.argv[2])
    assert len(want) == 1
    many = analyzer.classify(crops(40))
"""


@pytest.fixture(scope="module")
def picture(tmp_path_factory, one_face):
    path = tmp_path_factory.mktemp("processes") / "face.png"
    write_image(path, one_face)
    return path


def run(code, model, picture, folder):
    program = folder / "program.py"
    program.write_text(BEGIN + code)
    command = [sys.executable, str(program), str(model), str(picture)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    "code",
    [
        pytest.param(  # as gunicorn --preload and Celery do
            """
    children = []  # they leave by sys.exit, which ends what is open
    for _ in range(2):
        children.append(os.fork())
        if not children[-1]:
            assert read(sys.argv[2]) == want
            np.testing.assert_allclose(analyzer.classify(crops(40)), many, atol=1e-6)
            sys.exit(7)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [7, 7]
    assert read(sys.argv[2]) == want
""",
            id="fork",
        ),
        pytest.param(
            """
    child = os.fork()
    if not child:
        grandchild = os.fork()
        assert read(sys.argv[2]) == want
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) if grandchild else 7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
""",
            id="fork of a fork",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            """
    from threading import Thread
    busy = True
    def work():
        while busy:
            read(sys.argv[2])
    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        child = os.fork()
        if not child:
            os._exit(7 if read(sys.argv[2]) == want else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    busy = False
""",
            id="fork while threads read",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            """
    import multiprocessing
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(analyzer.image, [sys.argv[2]] * 3)[2].faces[0].probabilities.tolist() == want[0]
""",
            id="pools",
            marks=pytest.mark.slow,  # the test below has a pool, as the suite has time for
        ),
    ],
)
def test_a_used_analyzer_works_in_forked_and_spawned_processes(code, tiny_model, picture, tmp_path):
    if sys.version_info >= (3, 12):  # it warns of forks beside threads, which is what is tried
        code = code.replace("\n", "\n    import warnings; warnings.simplefilter('ignore')\n", 1)
    done = run(code, tiny_model, picture, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", [pytest.param("fork", marks=pytest.mark.slow), "spawn"])
def test_an_analyzer_goes_to_a_process_pool_as_an_argument(method, tiny_model, picture):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    analyzer = load(tiny_model, threads=2)
    want = analyzer.image(picture).to_dict()
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found = [pool.submit(Analyzer.image, analyzer, picture).result(SECONDS) for _ in range(2)]
    assert [frame.to_dict() for frame in found] == [want] * 2


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
def test_copies_and_pickles_of_an_analyzer_read_the_same(again, tiny_model, picture):
    analyzer = load(tiny_model, policy="accurate", max_faces=1)
    other = again(analyzer)
    assert other.image(picture).to_dict() == analyzer.image(picture).to_dict()
    assert (other.policy, other.max_faces) == (analyzer.policy, 1)
    assert other.classifier.digest == analyzer.classifier.digest


def test_many_threads_share_one_analyzer(tiny_model, one_face, two_faces, no_face):
    pictures = [one_face, two_faces, no_face] * 2
    analyzer = load(tiny_model, threads=2)
    alone = load(tiny_model)
    want = [alone.image(picture) for picture in pictures[:3]] * 2
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(analyzer.image, pictures))
    for frame, other in zip(found, want, strict=True):
        assert [face.box for face in frame] == [face.box for face in other]
        for face, twin in zip(frame, other, strict=True):
            np.testing.assert_allclose(face.probabilities, twin.probabilities, atol=1e-5)
