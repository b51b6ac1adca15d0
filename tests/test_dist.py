"""Two real processes, as torchrun starts them, against one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from typer.testing import CliRunner  # noqa: E402

from mien.cli import app  # noqa: E402
from mien.data.toy import ToySettings, write_toy  # noqa: E402
from mien.errors import ConfigError  # noqa: E402
from mien.recipes import CONFIG  # noqa: E402
from mien.train import dist  # noqa: E402
from mien.train.loop import CHECKPOINT, LOG, LoopOptions, Task, train  # noqa: E402
from mien.train.optim import soft_cross_entropy  # noqa: E402


def task():
    draw = torch.Generator().manual_seed(7)
    images = torch.randint(0, 256, (48, 1, 8, 8), generator=draw).to(torch.uint8)
    targets = torch.eye(8)[torch.randint(0, 8, (48,), generator=draw)]
    return Task(images, targets, lambda net, x, y, _: soft_cross_entropy(net(x / 255), y), lambda _: {})


def net():
    torch.manual_seed(3 + dist.rank())  # the others take over the first one's weights
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.Tanh(), torch.nn.Linear(16, 8)
    )


def options(epochs):
    return LoopOptions(epochs=epochs, batch=16, rate=0.05, warmup=1)


def say(line):
    sys.stdout.write(f"epoch {line['epoch']}\n")


def main(run, epochs):
    with dist.joined("cpu"):
        train(net(), task(), options(int(epochs)), Path(run), say)


def start(run, epochs):
    return torchrun(__file__, run, epochs)


def torchrun(*what):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += map(str, what)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


def weights(run):
    return torch.load(run / CHECKPOINT, weights_only=True)["net"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Three epochs by two processes."""
    run = tmp_path_factory.mktemp("two")
    done = start(run, 3)
    assert done.returncode == 0, done.stderr
    return run, done.stdout


def test_two_processes_learn_what_one_does_with_the_same_batch(two, tmp_path):
    train(net(), task(), options(3), tmp_path)
    for name, weight in weights(tmp_path).items():
        assert torch.allclose(weight, weights(two[0])[name], atol=1e-6), name
    one, both = ((run / LOG).read_text().splitlines() for run in (tmp_path, two[0]))
    assert [json.loads(line)["loss"] for line in both] == pytest.approx(
        [json.loads(line)["loss"] for line in one], abs=2e-5
    )


def test_the_first_process_alone_reports(two):
    assert two[1].split() == ["epoch", "1", "epoch", "2", "epoch", "3"]
    assert [json.loads(line)["epoch"] for line in (two[0] / LOG).read_text().splitlines()] == [1, 2, 3]


def test_a_run_of_two_goes_on_with_one_and_ends_alike(two, tmp_path):
    """The schedule is that of three epochs: what one process does after two of two processes."""

    def stop(line):
        if line["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(net(), task(), options(3), tmp_path, stop)
    done = start(tmp_path, 3)
    assert done.returncode == 0, done.stderr
    for name, weight in weights(tmp_path).items():
        assert torch.allclose(weight, weights(two[0])[name], atol=1e-6), name


def test_a_process_that_fails_brings_all_down_with_its_reason(tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    done = start(tmp_path, 3)
    assert done.returncode != 0
    assert "expected a checkpoint" in done.stderr


def test_the_command_runs_under_torchrun_and_one_process_takes_over(tmp_path):
    write_toy(tmp_path / "toy", ToySettings(models=10, cameras=1, gazes=1))
    command = ["train", "paper-300-small", "--data", "toy", "--root", tmp_path / "toy"]
    command += ["--out", tmp_path / "run", "--epochs", "2"]
    done = torchrun("-m", "mien", *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stage whole  epoch 2") == done.stdout.count("done: ") == 1
    lines = (tmp_path / "run" / "whole" / LOG).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    again = CliRunner().invoke(app, [str(word) for word in command])
    assert again.exit_code == 0
    assert "epoch" not in again.output, "nothing is left to do"


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
    monkeypatch.setattr(dist, "size", lambda: 3)
    with pytest.raises(ConfigError, match="multiple of the 3 processes, got 16"):
        dist.share(torch.arange(16))


def test_alone_nothing_is_shared():
    assert torch.equal(dist.share(torch.arange(4)), torch.arange(4))
    assert (dist.rank(), dist.size()) == (0, 1)


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ConfigError, match=f"got '{device}'"), dist.joined(device):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
