"""Teachers, what a student learns from them, and dlib's weights as a start."""

import io
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

import torch

from mien.errors import ConfigError, MissingExtra, ModelError, TrainingError
from mien.faces.network import Classifier
from mien.image import encode_image
from mien.nets import make_net
from mien.nets.face_resnet import FaceResNet, load_dlib, settle_norms
from mien.train import faces as train_faces
from mien.train.export import export_run
from mien.train.faces import file_hash, teacher_labels
from mien.train.loop import load_checkpoint
from mien.train.recipes import fill_start, find_dlib_weights, make_recipe, make_task, run_training


@pytest.fixture(scope="module")
def ferplus_zip(write_ferplus):
    noise = np.random.default_rng(5).integers(0, 256, (80, 48, 48), np.uint8)
    return write_ferplus(noise[:64], noise[64:])


@pytest.fixture(scope="module")
def begun(ferplus_zip, tmp_path_factory):
    """The folder of a run of the compact network, one epoch old."""
    run = tmp_path_factory.mktemp("begun") / "compact"
    run_training(_short(make_recipe("compact")), ferplus_zip, run, report=lambda _line: None)
    return run


@pytest.fixture(scope="module")
def fairface_zip(tmp_path_factory, draw_scene):
    """Three drawn faces without labels, and a picture without a face."""
    path = tmp_path_factory.mktemp("pool") / "fairface.zip"
    with zipfile.ZipFile(path, "w") as archive:
        rows = [f"{i}.png,20-29,Male,x" for i in range(4)]
        archive.writestr("f/t.csv", "\n".join(["file,age,gender,race", *rows]))
        for i in range(4):
            pixels = draw_scene((10 * i, 10, 160)) if i < 3 else draw_scene()
            archive.writestr(f"f/{i}.png", encode_image(pixels, ".png"))
    return path


def test_a_teachers_answer_is_that_to_the_face_and_to_its_mirror_image(tiny_model, tmp_path):
    faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)
    net = Classifier.load(tiny_model)
    want = (net(faces) + net(faces[:, :, ::-1].copy())) / 2
    assert np.allclose(teacher_labels([tiny_model], faces, tmp_path), want, atol=1e-6)
    assert np.allclose(teacher_labels([tiny_model] * 2, faces, tmp_path), want, atol=1e-6)


def test_answers_are_kept_for_the_same_faces_and_teacher_alone(tiny_model, tmp_path, monkeypatch):
    faces = np.random.default_rng(0).integers(0, 256, (2, 3, 48, 48), np.uint8)
    first = teacher_labels([tiny_model], faces[0], tmp_path)
    other = teacher_labels([tiny_model], faces[1], tmp_path)
    assert not np.allclose(first, other)
    monkeypatch.setattr(train_faces.Classifier, "load", None)  # nothing is asked any more
    assert np.array_equal(teacher_labels([tiny_model], faces[0], tmp_path), first)


def test_a_student_learns_votes_and_teachers_for_labelled_and_teachers_alone_for_unlabelled_faces(
    ferplus_zip, fairface_zip, tiny_model, tmp_path
):
    recipe = make_recipe("distill")
    task, facts = make_task(recipe, ferplus_zip, tmp_path, teachers=[tiny_model], unlabelled=fairface_zip)
    assert (facts["pictures"], facts["unlabelled"]) == (64, 3)
    assert facts["teachers"] == [file_hash(tiny_model)]
    faces = task.images[:, 0].numpy()
    answers = teacher_labels([tiny_model], faces, tmp_path)
    votes = np.eye(8, dtype=np.float32)[np.arange(64) % 8]
    want = (1 - recipe.lean) * votes + recipe.lean * answers[:64]
    assert np.allclose(task.targets[:64].numpy(), want, atol=1e-6)
    assert np.allclose(task.targets[64:].numpy(), answers[64:], atol=1e-6)


@pytest.mark.slow
def test_a_distilled_run_exports_with_its_sources_on_the_card(
    ferplus_zip, fairface_zip, tiny_model, begun, tmp_path
):
    recipe, run = _short(make_recipe("distill")), tmp_path / "run"
    lines = []
    given = {"teachers": [tiny_model], "start": begun, "report": lines.append}
    run_training(recipe, ferplus_zip, run, unlabelled=fairface_zip, **given)
    assert [line["epoch"] for line in lines] == [1]
    export_run(run, tmp_path / "student.onnx")
    card = Classifier.load(tmp_path / "student.onnx").card
    assert card.name == recipe.name
    assert any("FairFace" in line for line in card.data)
    assert any(file_hash(tiny_model) in line for line in card.data)
    with pytest.raises(ConfigError, match="other settings or data: `unlabelled 3`"):
        run_training(recipe, ferplus_zip, run, **given)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("distill", [], "learns from teachers, got none"),
        ("compact", ["x"], "learns from labelled faces alone"),
    ],
)
def test_teachers_are_asked_for_where_needed_and_refused_elsewhere(name, given, said, ferplus_zip, tmp_path):
    with pytest.raises(ConfigError, match=said):
        make_task(make_recipe(name), ferplus_zip, tmp_path, teachers=given)


def test_a_run_to_start_from_is_asked_for_where_needed_and_its_weights_are_taken(
    ferplus_zip, tiny_model, begun, tmp_path
):
    with pytest.raises(ConfigError, match="starts from a run, got none"):
        run_training(make_recipe("distill"), ferplus_zip, tmp_path, teachers=[tiny_model], report=print)
    with pytest.raises(ConfigError, match="starts from no other run"):
        run_training(make_recipe("compact"), ferplus_zip, tmp_path, start=begun, report=print)
    assert not list(tmp_path.iterdir())
    net = make_net("compact")
    fill_start("run", net, None, begun)
    want = load_checkpoint(begun / "checkpoint.pt")["averaged"]
    assert all(torch.equal(value, want[name]) for name, value in net.state_dict().items())
    with pytest.raises(TrainingError, match="run of the same network"):
        fill_start("run", make_net("face_resnet"), None, begun)


def test_weights_that_are_not_there_are_told(monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="expected one of 'dlib', 'run', got 'vggface'"):
        fill_start("vggface", None, None)
    monkeypatch.setattr("mien.train.recipes.find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=r"mien\[teacher\]"):
        find_dlib_weights()
    with pytest.raises(ModelError, match="expected dlib's face recognition network"):
        load_dlib(FaceResNet(), tmp_path / "none.dat")
    (tmp_path / "cut.dat").write_bytes(_dlib_bytes(FaceResNet())[:50_000])
    with pytest.raises(ModelError, match="expected dlib's face recognition network"):
        load_dlib(FaceResNet(), tmp_path / "cut.dat")


def test_a_file_as_dlib_writes_it_fills_the_network_and_settling_changes_no_answer(tmp_path):
    torch.manual_seed(0)
    source, net = FaceResNet().eval(), FaceResNet().eval()
    (tmp_path / "dlib.dat").write_bytes(_dlib_bytes(source))
    load_dlib(net, tmp_path / "dlib.dat")
    pictures = torch.randint(0, 256, (16, 1, 48, 48)).float()
    with torch.no_grad():
        before = net.features(pictures)
        assert torch.allclose(before, _unnormed(source).features(pictures), atol=1e-4)
        settle_norms(net, pictures)
        assert torch.allclose(net.features(pictures), before, atol=1e-3)
        assert net.train().stem_norm(net.stem(torch.rand(8, 3, 96, 96))).std() < 100, "fit to learn from"


def _short(recipe):
    return replace(recipe, loop=replace(recipe.loop, epochs=1, batch=32))


def _layers(net):
    return [x for x in net.modules() if isinstance(x, torch.nn.Conv2d | torch.nn.BatchNorm2d)]


def _unnormed(net):
    """The network with norms that scale and shift alone, as in dlib's file."""
    for layer in _layers(net):
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(layer.running_var, 1 - layer.eps)
    return net


def _dlib_bytes(net):
    """A network's weights in dlib's own layout, its last layer behind them."""
    out = io.BytesIO()
    for layer in _layers(net):
        values = torch.cat([layer.weight.flatten(), layer.bias.flatten()]).detach().numpy()
        out.write(b"\x05con_4" if isinstance(layer, torch.nn.Conv2d) else b"\x07affine_")
        out.write(_numbers(2, len(values), 1, 1, 1) + values.astype("<f4").tobytes())
    out.write(b"\x04fc_2" + _numbers(128, 256) + _numbers(2, 256, 128, 1, 1))
    out.write(np.zeros(256 * 128, "<f4").tobytes())
    return out.getvalue()


def _numbers(*values):
    return b"".join(struct.pack("<BI", 4, value) for value in values)
