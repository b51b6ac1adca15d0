"""Two real processes against one; torchrun starts them in the slow tests."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from typer.testing import CliRunner  # noqa: E402

from mien.cli import app  # noqa: E402
from mien.data.toy import ToySettings, write_toy  # noqa: E402
from mien.errors import ConfigError  # noqa: E402
from mien.paper.networks import DenseAutoencoder  # noqa: E402
from mien.paper.pretrain import PretrainOptions, pretrain  # noqa: E402
from mien.train import distributed  # noqa: E402
from mien.train.augment import AugmentOptions, augment  # noqa: E402
from mien.train.loop import CHECKPOINT, LOG, LoopOptions, TrainingTask, soft_cross_entropy, train  # noqa: E402
from mien.train.recipes import CONFIG  # noqa: E402


def plain(net, images, targets, _):
    return soft_cross_entropy(net(images / 255), targets)


def augmented(net, images, targets, generator):
    return plain(net, augment(images, generator, AugmentOptions()), targets, None)


def task(loss=plain):
    draw = torch.Generator().manual_seed(7)
    images = torch.randint(0, 256, (48, 1, 8, 8), generator=draw).to(torch.uint8)
    targets = torch.eye(8)[torch.randint(0, 8, (48,), generator=draw)]
    return TrainingTask(images, targets, loss, lambda _: {})


def net():
    torch.manual_seed(3 + distributed.rank())  # the others take over the first one's weights
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.Tanh(), torch.nn.Linear(16, 8)
    )


def options(epochs, seed=0):
    return LoopOptions(epochs=epochs, batch=16, rate=0.05, warmup=1, seed=seed)


def autoencoder():
    torch.manual_seed(3 + distributed.rank())
    return DenseAutoencoder((6, 4))


def smooth_pictures():
    """64 pictures that an autoencoder can learn."""
    coarse = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 255
    return torch.nn.functional.interpolate(coarse, 48, mode="bicubic").clamp(0, 255).to(torch.uint8)


UNITS = {
    "units": PretrainOptions(batch=16, rate=0.05),
    "noise": PretrainOptions("noise", batch=16, rate=0.02, start="random"),
}
TASKS = {"plain": task, "augmented": lambda: task(augmented)}


def learn(kind, run, epochs, report=lambda _: None, seed=0):
    """What one process does, or each of several."""
    if kind in UNITS:
        given = replace(UNITS[kind], epochs=epochs, seed=seed)
        pretrain(autoencoder(), smooth_pictures(), given, run, report)
    else:
        train(net(), TASKS[kind](), options(epochs, seed), run, report)


def stops(stage, epoch):
    """A report that prints, and ends the process after an epoch."""

    def stop(line):
        sys.stdout.write(f"epoch {line['epoch']}\n")
        if (line.get("stage"), line["epoch"]) == (stage, epoch):
            raise KeyboardInterrupt

    return stop


def main(kind, run, epochs, stage=None, epoch=0):
    with distributed.joined("cpu"):
        learn(kind, Path(run), int(epochs), stops(stage or None, int(epoch)))


def torchrun(*what):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += map(str, what)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment, check=False)


def weights(run):
    return torch.load(run / CHECKPOINT, weights_only=True)["net"]


def losses(run):
    return [json.loads(line)["loss"] for line in (run / LOG).read_text().splitlines()]


def same(one, other, tolerance=1e-6):
    """Both runs' last weights are the same but for rounding, as a share of the largest of each kind."""
    both = weights(one), weights(other)
    return all(
        (weight - both[1][name]).abs().max() <= tolerance * max(1, weight.abs().max())
        for name, weight in both[0].items()
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As torchrun gives each process: nets as small as these gain nothing, and PCA rounds by its threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Three epochs by this process."""
    run = tmp_path_factory.mktemp("one")
    learn("plain", run, 3)
    return run


@pytest.fixture(scope="module")
def two(one, tmp_path_factory):
    """Three epochs by this process and a fork of it, told what torchrun tells: the run, the lines of both."""
    run = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}

    def learn_as(rank, report):
        os.environ.update(told | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        with distributed.joined("cpu"):
            learn("plain", run, 3, report)

    # not a new process, which would import PyTorch for seconds: after `one`, this one has all that learns
    fork = multiprocessing.get_context("fork")
    said = fork.SimpleQueue()
    other = fork.Process(target=learn_as, args=(1, said.put))
    other.start()
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        for name in (*told, "RANK", "LOCAL_RANK"):
            patch.setenv(name, "")  # it is as before in the end
        learn_as(0, lines.append)
    other.join(280)
    assert other.exitcode == 0
    return run, lines, said


def test_two_processes_learn_what_one_does_with_the_same_batch(one, two):
    assert same(one, two[0])
    assert losses(two[0]) == pytest.approx(losses(one), abs=2e-5)


def test_the_first_process_alone_reports(two):
    run, lines, said = two
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert said.empty()
    assert [json.loads(line)["epoch"] for line in (run / LOG).read_text().splitlines()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "stage", "last"),
    [
        pytest.param("plain", "", "", marks=pytest.mark.slow),
        pytest.param("units", "unit-2", "unit-2", marks=pytest.mark.slow),
    ],
)
def test_a_run_of_one_goes_on_with_two_and_then_one_and_ends_as_if_unbroken(kind, stage, last, tmp_path):
    """The schedule is that of four epochs: one by one process, one by two, the rest by one."""
    learn(kind, tmp_path / "unbroken", 4)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        learn(kind, run, 4, stops("unit-1" if stage else None, 2 if stage else 1))
    done = torchrun(__file__, kind, run, 4, stage, 2)
    assert "KeyboardInterrupt" in done.stderr
    assert len(losses(run / last)) == 2
    learn(kind, run, 4)
    assert len(losses(run / last)) == 4
    assert same(run / last, tmp_path / "unbroken" / last, 2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "stage"), [("augmented", ""), ("noise", "unit-1")])
def test_what_two_draw_at_random_moves_the_curve_no_further_than_another_seed(kind, stage, tmp_path):
    done = torchrun(__file__, kind, tmp_path / "two", 6)
    assert done.returncode == 0, done.stderr
    for seed in range(8):
        learn(kind, tmp_path / str(seed), 6, seed=seed)
    curves = torch.tensor([losses(tmp_path / str(seed) / stage) for seed in range(8)])  # (seeds, epochs)
    spread = curves.std(0).clamp(min=1e-3)
    away = (torch.tensor(losses(tmp_path / "two" / stage)) - curves.mean(0)) / spread
    assert away.abs().max() < 4
    assert curves.mean(0)[0] - curves.mean(0)[-1] > 4 * spread.max(), "it learns more than the noise"


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_processes_read_every_picture_once_an_epoch(processes, monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: processes)
    numbered = TrainingTask(torch.arange(48)[:, None, None, None], torch.zeros(48, 8), plain, lambda _: {})
    seen = []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        batches = list(numbered.batches(16, torch.Generator().manual_seed(0)))
        assert [len(images) for images, _ in batches] == [16 // processes] * 3
        seen += [int(number) for images, _ in batches for number in images.flatten()]
    assert sorted(seen) == list(range(48))


@pytest.mark.slow
def test_a_process_that_fails_brings_all_down_with_its_reason(tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    done = torchrun(__file__, "plain", tmp_path, 3)
    assert done.returncode != 0
    assert "expected a checkpoint" in done.stderr


@pytest.mark.slow
def test_the_command_runs_under_torchrun_and_one_process_takes_over(tmp_path):
    write_toy(tmp_path / "toy", ToySettings(models=10, cameras=1, gazes=1))
    command = ["train", "paper-raw-small", "--data", "toy", "--root", tmp_path / "toy"]
    command += ["--out", tmp_path / "run", "--epochs", "2"]
    done = torchrun("-m", "mien", *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stage whole/contempt  epoch 2") == done.stdout.count("done: ") == 1
    lines = (tmp_path / "run" / "whole" / "contempt" / LOG).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    again = CliRunner().invoke(app, [str(word) for word in command])
    assert again.exit_code == 0
    assert "epoch" not in again.output, "nothing is left to do"


@pytest.mark.slow
def test_who_waits_for_a_process_that_is_gone_says_so(tmp_path):
    """The first finds a run with other settings in the folder; the other waits for it in vain."""
    (tmp_path / CONFIG).write_text('name = "other"\n')
    done = torchrun(
        "-m", "mien", "train", "paper-raw", "--data", "toy", "--root", tmp_path, "--out", tmp_path
    )
    assert done.returncode != 0
    assert "holds a run with other settings" in done.stderr
    assert "gloo" not in done.stderr


def test_a_batch_that_cannot_be_divided_is_refused(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 3)
    with pytest.raises(ConfigError, match="multiple of the 3 processes, got 16"):
        distributed.share(torch.arange(16))


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ConfigError, match=f"got '{device}'"), distributed.joined(device):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
