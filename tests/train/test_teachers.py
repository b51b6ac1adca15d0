"""Teachers, what a student learns from them, and Intel's weights as a start."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

import onnx
import onnxruntime
import torch

from makers import scene, write_ferplus
from mien.card import with_card
from mien.errors import ConfigError, ModelError
from mien.faces.network import Classifier
from mien.image import encode_image
from mien.labels import EMOTIONS
from mien.nets import NETS
from mien.nets.compact import Compact, CompactOptions
from mien.nets.mobileface import Bend, MobileFace, MobileFaceOptions, load_intel, settle_norms
from mien.train import recipes as train_recipes
from mien.train.export import export_run
from mien.train.faces import file_hash, teacher_labels
from mien.train.recipes import claim_provenance, make_recipe, make_task, run_training


@pytest.fixture(scope="module")
def ferplus_zip(tmp_path_factory):
    """64 and 16 pictures, noise but for a drawn face in each of the first three, which differ."""
    noise = np.random.default_rng(5).integers(0, 256, (80, 48, 48), np.uint8)
    for i in range(3):
        drawn = Pil.fromarray(scene((10, 10, 160))[10:170, 10 : 170 + i]).convert("L")
        noise[i] = np.asarray(drawn.resize((48, 48)))
    return write_ferplus(tmp_path_factory.mktemp("corpus") / "ferplus.zip", noise[:64], noise[64:])


@pytest.fixture(scope="module")
def fairface_zip(tmp_path_factory):
    """Three drawn faces without labels, and a picture without a face."""
    path = tmp_path_factory.mktemp("pool") / "fairface.zip"
    with zipfile.ZipFile(path, "w") as archive:
        rows = [f"{i}.png,20-29,Male,x" for i in range(4)]
        archive.writestr("f/t.csv", "\n".join(["file,age,gender,race", *rows]))
        for i in range(4):
            pixels = scene((10 * i, 10, 160)) if i < 3 else scene()
            archive.writestr(f"f/{i}.png", encode_image(pixels, ".png"))
    return path


def test_a_teachers_answer_is_that_to_the_face_and_to_its_mirror_image(tiny_model, tmp_path):
    faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)
    net = Classifier.load(tiny_model)
    want = (net(faces) + net(faces[:, :, ::-1].copy())) / 2
    assert np.allclose(teacher_labels([net], faces, tmp_path), want, atol=1e-6)
    assert np.allclose(teacher_labels([net] * 2, faces, tmp_path), want, atol=1e-6)


def test_answers_are_kept_for_the_same_faces_and_teacher_alone(tiny_model, tmp_path, monkeypatch):
    faces = np.random.default_rng(0).integers(0, 256, (2, 3, 48, 48), np.uint8)
    teacher = Classifier.load(tiny_model)
    first = teacher_labels([teacher], faces[0], tmp_path)
    other = teacher_labels([teacher], faces[1], tmp_path)
    assert not np.allclose(first, other)
    monkeypatch.setattr(Classifier, "__call__", None)  # nothing is asked any more
    assert np.array_equal(teacher_labels([teacher], faces[0], tmp_path), first)


def test_a_student_learns_votes_and_teachers_of_labelled_and_teachers_alone_of_unlabelled_faces(
    ferplus_zip, fairface_zip, tiny_model, tmp_path
):
    recipe = make_recipe("compact")
    task, facts = make_task(recipe, ferplus_zip, tmp_path, teachers=[tiny_model], unlabelled=fairface_zip)
    assert (facts["pictures"], facts["unlabelled"], facts["teachers"]) == (64, 3, [file_hash(tiny_model)])
    assert 1 <= facts["aligned"] <= 3
    found = facts["aligned"]
    faces = task.images[:, 0].numpy()
    votes = np.eye(8, dtype=np.float32)[np.arange(64) % 8]
    teacher = Classifier.load(tiny_model)
    mixed = (1 - recipe.lean) * votes + recipe.lean * teacher_labels([teacher], faces[:64], tmp_path)
    assert np.allclose(task.targets[:64].numpy(), mixed, atol=1e-6)
    # a face that was found comes again, cut otherwise, with the same target
    again = task.targets[64 : 64 + found].numpy()
    assert all(any(np.allclose(row, one, atol=1e-6) for one in mixed[:3]) for row in again)
    assert not any(np.array_equal(face, one) for face in faces[64 : 64 + found] for one in faces[:64])
    more = faces[64 + found :]
    answers = teacher_labels([teacher], more, tmp_path)
    assert np.allclose(task.targets[64 + found :].numpy(), answers, atol=1e-6)


def test_unlabelled_faces_in_which_teachers_see_something_rare_come_three_times(
    ferplus_zip, fairface_zip, tiny_model, tmp_path, monkeypatch
):
    def answer(_teachers, images, _cache):
        return np.eye(8, dtype=np.float32)[np.arange(len(images)) % 2 * EMOTIONS.index("fear")]

    monkeypatch.setattr(train_recipes, "teacher_labels", answer)
    given = {"teachers": [tiny_model], "unlabelled": fairface_zip}
    task, facts = make_task(make_recipe("compact"), ferplus_zip, tmp_path, **given)
    assert (facts["unlabelled"], facts["rare"]) == (3, 1)
    assert task.targets[-5:].argmax(1).tolist() == [0, 6, 6, 6, 0]
    assert torch.equal(task.images[-4], task.images[-2])
    assert len(task) == 64 + facts["aligned"] + 5


def test_a_taught_run_exports_with_its_sources_and_its_teachers_on_the_card(
    ferplus_zip, fairface_zip, tiny_model, tmp_path, monkeypatch
):
    small = CompactOptions(stem=4, widths=(8, 8), blocks=(1, 1))
    monkeypatch.setitem(NETS, "compact", lambda: Compact(small))
    taught = replace(Classifier.load(tiny_model).card, data=("faces from nowhere",))
    teacher = tmp_path / "teacher.onnx"
    teacher.write_bytes(with_card(tiny_model.read_bytes(), taught))
    recipe, run = make_recipe("compact"), tmp_path / "run"
    recipe = replace(recipe, loop=replace(recipe.loop, epochs=1, batch=32))
    lines = []
    given = {"teachers": [teacher], "report": lines.append}
    run_training(recipe, ferplus_zip, run, unlabelled=fairface_zip, **given)
    assert [line["epoch"] for line in lines] == [1]
    cards = []  # the file itself is compared with PyTorch in test_train.py
    monkeypatch.setattr("mien.train.export.export_onnx", lambda _net, card, _path: cards.append(card))
    export_run(run, tmp_path / "student.onnx")
    (card,) = cards
    assert card.name == recipe.name
    for source in ("FairFace", file_hash(teacher), "faces from nowhere"):
        assert any(source in line for line in card.data)
    with pytest.raises(ConfigError, match="other settings or data: `unlabelled 3`"):
        run_training(recipe, ferplus_zip, run, **given)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("compact", [], "learns from teachers, got none"),
        ("votes", ["x"], "learns from labelled faces alone"),
    ],
)
def test_teachers_are_asked_for_where_needed_and_refused_elsewhere(name, given, said, ferplus_zip, tmp_path):
    with pytest.raises(ConfigError, match=said):
        make_task(make_recipe(name), ferplus_zip, tmp_path, teachers=given)


def test_a_teacher_that_is_not_there_is_named_before_any_work(ferplus_zip, tmp_path):
    with pytest.raises(ModelError, match=r"expected an ONNX file at nowhere\.onnx"):
        make_task(make_recipe("compact"), ferplus_zip, tmp_path, teachers=[Path("nowhere.onnx")])
    assert not list(tmp_path.glob("cache"))


def test_weights_to_start_from_are_asked_for_where_needed_and_refused_elsewhere(ferplus_zip, intel, tmp_path):
    with pytest.raises(ConfigError, match=r"starts from Intel's .*, got none"):
        run_training(make_recipe("teacher"), ferplus_zip, tmp_path, report=print)
    with pytest.raises(ConfigError, match="starts from fresh weights"):
        run_training(make_recipe("votes"), ferplus_zip, tmp_path, start=intel[1], report=print)
    assert not list(tmp_path.iterdir())


def test_a_run_does_not_go_on_with_other_weights_to_start_from(tmp_path):
    claim_provenance(tmp_path, {"data": "a", "start": "b"})
    claim_provenance(tmp_path, {"data": "a", "start": "b", "mien": "later"})
    with pytest.raises(ConfigError):
        claim_provenance(tmp_path, {"data": "a", "start": "c"})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["teacher", "teacher-96", "teacher-large", "votes"])
def test_every_recipe_without_teachers_learns_and_exports(name, intel, tmp_path):
    noise = np.random.default_rng(5).integers(0, 256, (24, 48, 48), np.uint8)
    recipe = make_recipe(name)
    recipe = replace(recipe, loop=replace(recipe.loop, epochs=1, batch=8))
    given = {"start": intel[1]} if recipe.start else {}
    corpus = write_ferplus(tmp_path / "ferplus.zip", noise[:16], noise[16:])
    run_training(recipe, corpus, tmp_path / "run", report=dict, **given)
    export_run(tmp_path / "run", tmp_path / "out.onnx")
    card = Classifier.load(tmp_path / "out.onnx").card
    assert any("VGGFace2" in line for line in card.data) == bool(recipe.start)
    assert ("start" in card.provenance) == bool(recipe.start)


def test_a_file_as_intels_fills_the_network_and_settling_changes_no_answer(intel):
    source, path = intel
    net = MobileFace(MobileFaceOptions(side=64)).eval()
    load_intel(net, path)
    pictures = torch.randint(0, 256, (16, 1, 48, 48)).float()
    with torch.no_grad():
        before = net.features(pictures)
        assert torch.allclose(before, source.features(pictures), atol=1e-4)
        settle_norms(net, pictures)
        assert torch.allclose(net.features(pictures), before, atol=1e-3)
        norm = net.body[3].widen[1]
        assert norm.running_var.min() >= 0
        assert not torch.allclose(norm.weight, torch.ones_like(norm.weight)), "fit to learn from"


@pytest.mark.parametrize("fault", ["none", "cut", "text", "other"])
def test_a_file_that_is_not_intels_is_named(fault, intel, tiny_model, tmp_path):
    path = tmp_path / "start.onnx"
    if fault != "none":
        cut = intel[1].read_bytes()[:50_000]
        path.write_bytes({"cut": cut, "text": b"hello", "other": tiny_model.read_bytes()}[fault])
    with pytest.raises(ModelError, match=r"start\.onnx: expected Intel's face-reidentification-retail-0095"):
        load_intel(MobileFace(), path)


def test_intels_own_file_gives_intels_own_features(shared_data):
    path = shared_data.parent / "teachers" / "face-reidentification-retail-0095.onnx"
    if not path.is_file():
        pytest.skip("Intel's network is not at hand")
    model = onnx.load(path)
    last = [node.output[0] for node in model.graph.node if node.op_type == "PRelu"][-1]
    model.graph.output.add().name = last  # before what tells persons apart
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 128, 128)).astype(np.float32)
    want = onnxruntime.InferenceSession(model.SerializeToString()).run([last], {"0": pixels})[0]
    net = MobileFace(MobileFaceOptions(side=128)).eval()
    load_intel(net, path)
    with torch.no_grad():
        got = net.features(torch.from_numpy(pixels)).numpy()
    assert np.abs(got - want.mean((2, 3))).max() < 1e-4


@pytest.fixture(scope="module")
def intel(tmp_path_factory):
    """A network of random weights, its norms shifting alone, and its file as Intel's lays them out."""
    torch.manual_seed(0)
    net = MobileFace(MobileFaceOptions(side=64)).eval()
    tensors = [net.scale, net.shift]
    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            tensors.append(layer.weight)
            if layer.bias is not None:
                tensors.append(layer.bias.view(1, -1, 1, 1))
        elif isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(layer.running_var, 1 - layer.eps)
            torch.nn.init.normal_(layer.bias, 0, 0.1)
            tensors.append(layer.bias.view(1, -1, 1, 1))
        elif isinstance(layer, Bend):
            tensors.append(layer.slope.view(1, 1, 1))
    tensors += [torch.zeros(shape) for shape in ((512, 1, 8, 8), (1, 512, 1, 1), (256, 512, 1, 1))]
    arrays = [tensor.detach().numpy() for tensor in tensors]
    held = [onnx.numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(arrays)]
    nodes = [onnx.helper.make_node("Add", ["x", one.name], ["x"]) for one in held]  # the order is what counts
    graph = onnx.helper.make_graph(nodes, "intel", [], [], initializer=held)
    path = tmp_path_factory.mktemp("intel") / "intel.onnx"
    onnx.save(onnx.helper.make_model(graph), path)
    return net, path
