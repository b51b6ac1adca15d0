"""The paper's experiment end to end, on a few drawn models."""

import contextlib
import csv
import json
import multiprocessing
import re
import shutil
from queue import Empty

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from dataclasses import replace  # noqa: E402

from typer.testing import CliRunner  # noqa: E402

from mien.cli import app  # noqa: E402
from mien.data.toy import ToySettings, write_toy  # noqa: E402
from mien.errors import ConfigError, DataError  # noqa: E402
from mien.faces.network import Classifier  # noqa: E402
from mien.labels import EMOTIONS  # noqa: E402
from mien.paper import reproduce as module  # noqa: E402
from mien.paper.corpora import load_corpus  # noqa: E402
from mien.paper.figures import load_pictures  # noqa: E402
from mien.paper.folds import FoldOptions  # noqa: E402
from mien.paper.reproduce import PICTURES, PREDICTIONS, RESULTS, reproduce  # noqa: E402
from mien.paper.scores import fit_threshold  # noqa: E402
from mien.paper.seeds import compare_seeds, fold_accuracies  # noqa: E402
from mien.paper.training import export_paper_run  # noqa: E402
from mien.paper.variants import VARIANTS, make_variant  # noqa: E402


def timeless(results):
    """Without the seconds of each epoch, and what made them."""
    return re.sub(r'"seconds": [\d.]+', "", json.dumps({**results, "provenance": None}))


@pytest.fixture
def taught(monkeypatch):
    """The pictures that every network was given to learn from, in order."""
    seen = []
    train = module.train_variant

    def watched(recipe, pictures, *more):
        seen.append(pictures)
        return train(recipe, pictures, *more)

    monkeypatch.setattr(module, "train_variant", watched)
    return seen


def test_every_variant_runs_to_a_full_set_of_tables_and_is_held_against_the_first(reproduced, toy_faces):
    results = json.loads((reproduced / RESULTS).read_text())
    right = {}
    for name, data in results["variants"].items():
        assert {table["emotion"] for table in data["measures"]} == set(EMOTIONS)
        probabilities = np.load(reproduced / name / PREDICTIONS)
        assert probabilities.shape == (160, 8)
        assert np.isfinite(probabilities).all(), "disjoint folds ask of every picture once"
        assert np.allclose(probabilities.sum(1), 1, atol=1e-5) == ("8way" in name), (
            "eight speak for themselves"
        )
        right[name] = probabilities.argmax(1) == toy_faces.labels
    for name in VARIANTS:
        small = make_variant(f"{name}-small")
        assert small.name == f"{name}-small"
        assert small.width < make_variant(name).width
        assert small.loop.epochs * small.draws < make_variant(name).loop.epochs * make_variant(name).draws
    error = results["variants"]["paper-300"]["reconstruction"]
    assert (error["width"], error["n"]) == (15, 160)
    assert error["negative"] > 0.05, "the leaky ReLU bends"
    assert error["n"] == sum(each["n"] for each in error["each"].values())
    assert 0 < error["pca"] < error["autoencoder"], "an epoch from random weights"
    assert results["variants"]["paper-300-one"]["reconstruction"]["each"] == {}
    first, *others = results["variants"]
    for name, pair in zip(others, results["pairs"], strict=True):
        assert pair["variants"] == [first, name]
        assert pair["difference"] == pytest.approx(right[first].mean() - right[name].mean())
        assert pair["first_alone"] == (right[first] & ~right[name]).sum()


def stop_at_fifth_line(plan, faces, folder):
    """Begin a reproduction and kill it; the lines that it reported."""
    lines = []

    def kill(line):
        lines.append(line)
        if len(lines) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(plan, faces, folder, kill)
    return lines


def test_a_killed_reproduction_goes_on_and_ends_alike(toy_faces, tiny_plan, reproduced, tmp_path):
    plan = tiny_plan("paper-300-one")
    lines = stop_at_fifth_line(plan, toy_faces, tmp_path)
    resumed = reproduce(plan, toy_faces, tmp_path, lines.append)
    whole = json.loads((reproduced / RESULTS).read_text())
    of_one = whole | {
        part: {"paper-300-one": whole[part]["paper-300-one"]} for part in ("variants", "recipes")
    }
    of_one["warnings"] = [line for line in whole["warnings"] if line.startswith("paper-300-one:")]
    assert timeless(resumed) == timeless(of_one | {"pairs": []})
    once = len(lines)
    reproduce(plan, toy_faces, tmp_path, lines.append)
    assert len(lines) == once, "what is finished is not learned again"


@pytest.mark.slow
def test_killed_variants_of_every_kind_go_on_and_end_alike(toy_faces, tiny_plan, tmp_path):
    plan = tiny_plan("paper-300", "paper-300-pca", "paper-pretrained", "paper-mask")
    stop_at_fifth_line(plan, toy_faces, tmp_path / "b")
    resumed = reproduce(plan, toy_faces, tmp_path / "b")
    assert timeless(resumed) == timeless(reproduce(plan, toy_faces, tmp_path / "a"))


def test_nobody_stands_on_both_sides_of_a_fold_nor_of_its_threshold(toy_faces, tiny_plan, tmp_path, taught):
    results = reproduce(tiny_plan("paper-raw", threshold="training"), toy_faces, tmp_path)
    persons = {
        image.tobytes(): person for image, person in zip(toy_faces.images, toy_faces.persons, strict=True)
    }
    probabilities = np.load(tmp_path / "paper-raw" / PREDICTIONS)
    table = next(t for t in results["variants"]["paper-raw"]["measures"] if t["emotion"] == "sadness")
    for number, pictures in enumerate(taught, start=1):
        learned = {persons[image.tobytes()] for image in pictures.images.numpy()}
        assert len(learned) == 5
        with np.load(tmp_path / "paper-raw" / f"part-{number}" / "outcome.npz") as kept:
            trained, tested = kept["trained"], kept["tested"]
        assert len(trained) == len(pictures.images)
        assert len(tested) == 160 - len(pictures.images)
        expected = fit_threshold(trained[:, 3], (toy_faces.labels == 3)[~of_part(probabilities, tested)])
        assert table["thresholds"][number - 1]["value"] == pytest.approx(expected.value)
    first, second = ({image.tobytes() for image in pictures.images.numpy()} for pictures in taught)
    assert not {persons[image] for image in first} & {persons[image] for image in second}


@pytest.mark.parametrize("what", ["seed", "share", "labels"])
def test_a_folder_of_another_experiment_is_refused(what, toy_faces, tiny_plan, reproduced):
    plan, faces = tiny_plan("paper-raw"), toy_faces
    if what == "seed":
        plan = replace(plan, variants=tuple(recipe.seeded(5) for recipe in plan.variants))
    elif what == "share":
        plan = replace(plan, share=0.5)
    else:
        faces = replace(toy_faces, targets=np.roll(toy_faces.targets, 1, axis=1))
    with pytest.raises(ConfigError, match="other settings or data"):
        reproduce(plan, faces, reproduced)


def test_repeated_draws_come_from_people_who_train_nothing(toy_faces, tiny_plan, tmp_path, taught):
    folds = FoldOptions("repeated", folds=3, positives=5, others=1)
    results = reproduce(tiny_plan("paper-300-one", folds=folds), toy_faces, tmp_path)
    assert len(taught) == 1, "one network serves all draws"
    asked = np.isfinite(np.load(tmp_path / "paper-300-one" / PREDICTIONS)).all(1)
    persons = np.array(toy_faces.persons)
    assert not set(persons[asked]) & set(persons[~asked])
    learned = {image.tobytes() for image in taught[0].unlabelled.numpy()}
    assert learned == {image.tobytes() for image in toy_faces.images[~asked]}, (
        "the autoencoder sees no test picture"
    )
    assert len(taught[0].images) == (~asked).sum()
    assert "repeated draws from 80 pictures" in " ".join(results["notes"])


def test_a_share_of_the_labels_trains_the_network_and_all_pictures_the_autoencoder(
    toy_faces, tiny_plan, tmp_path, monkeypatch
):
    given = []

    def look(_recipe, pictures, *_more):
        given.extend([pictures.images, pictures.unlabelled])
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_variant", look)
    more = np.zeros((7, 48, 48), np.uint8)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tiny_plan("paper-300-one", share=0.25, unlabelled=more), toy_faces, tmp_path)
    assert [len(pictures) for pictures in given] == [16, 87]


def test_another_corpus_under_the_same_name_is_cut_anew(tmp_path):
    write_toy(tmp_path / "a", ToySettings(models=3, cameras=1, gazes=1))
    write_toy(tmp_path / "b", ToySettings(models=3, cameras=1, gazes=1, seed=1))
    first, second = (load_corpus("toy", tmp_path / name, tmp_path / "cache") for name in "ab")
    assert not np.array_equal(first.images, second.images)
    assert np.array_equal(load_corpus("toy", tmp_path / "a", tmp_path / "cache").images, first.images)


def test_a_damaged_outcome_says_what_to_do(toy_faces, tiny_plan, reproduced, tmp_path):
    shutil.copytree(reproduced / "paper-raw", tmp_path / "paper-raw")
    (tmp_path / "paper-raw" / "part-1" / "outcome.npz").write_bytes(b"PK half")
    with pytest.raises(DataError, match=r"outcome\.npz: expected arrays .* remove the file"):
        reproduce(tiny_plan("paper-raw"), toy_faces, tmp_path)


def test_what_is_unknown_lists_the_known(tmp_path):
    with pytest.raises(ConfigError, match="expected one of paper-300, paper-500"):
        make_variant("paper-9")
    with pytest.raises(ConfigError, match="expected one of rafd, ferplus, toy"):
        load_corpus("affectnet", tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"threshold": "most"}, "expected one of winner, half, training"),
        ({"share": 2}, "expected more than 0 and at most 1, got 2"),
        (
            {"unlabelled": np.zeros((7, 48, 48), np.uint8)},
            "one autoencoder for all",
        ),
    ],
)
def test_a_plan_that_cannot_be_says_why(more, said, tiny_plan):
    with pytest.raises(ConfigError, match=said):
        tiny_plan("paper-300", **more)


@pytest.mark.slow  # `mien export` of a smaller run is in tests/train/test_cli_train.py
def test_the_paper_as_its_tables_demand_it_exports_as_one_model(toy_faces, reproduced, tmp_path):
    folder = reproduced / "paper-300"
    data = json.loads((reproduced / RESULTS).read_text())["variants"]["paper-300"]
    assert {t["how"] for table in data["measures"] for t in table["thresholds"]} == {"a half"}
    assert load_pictures(folder / PICTURES).generated.shape == (8, 8, 48, 48)
    assert {path.name for path in (folder / "part-1" / "whole").iterdir()} == set(EMOTIONS)
    export_paper_run(folder / "part-1", tmp_path / "model.onnx")
    classifier = Classifier.load(tmp_path / "model.onnx")
    assert classifier.card.name == "paper-300"
    assert classifier.card.recipe.endswith("except its own"), "it was not stopped"
    assert "rare" not in " ".join(classifier.card.limits), "the corpus has as many of each emotion"
    with np.load(folder / "part-1" / "outcome.npz") as kept:
        tested = kept["tested"].astype(np.float64)
    odds = tested / (1 - tested)
    given = classifier(toy_faces.images[of_part(np.load(folder / PREDICTIONS), tested.astype(np.float32))])
    assert np.abs(given - odds / odds.sum(1, keepdims=True)).max() < 1e-3


def test_one_network_of_eight_outputs_is_read_both_ways(reproduced):
    results = json.loads((reproduced / RESULTS).read_text())["variants"]
    fitted, likeliest = results["paper-300-8way"], results["paper-300-8way-likeliest"]
    assert fitted["eight_way"] == likeliest["eight_way"], "the same networks"
    assert (fitted["threshold"], likeliest["threshold"]) == ("training", "winner")


def test_the_card_of_a_network_that_was_begun_anew_has_the_figures_of_its_second_try(
    reproduced, tmp_path, monkeypatch
):
    cards = []
    monkeypatch.setattr("mien.train.export.export_onnx", lambda _net, card, _path: cards.append(card))
    run = shutil.copytree(reproduced / "paper-300-8way" / "part-1", tmp_path / "run")
    again = shutil.copytree(run / "whole", run / "whole" / "again")
    (again / "log.jsonl").write_text('{"epoch": 1, "accuracy": 0.75}\n')
    export_paper_run(str(run), str(tmp_path / "model.onnx"))
    assert [scores["accuracy"] for scores in cards[0].scores.values()] == [0.75]
    assert cards[0].recipe.endswith("stopped before its end"), "one epoch of several"


@pytest.mark.slow
def test_processes_share_the_parts_of_a_folder_and_train_none_twice(toy_faces, tiny_plan, tmp_path):
    names = ("paper-raw", "paper-300-one")
    plan = tiny_plan(*names)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    arguments = (plan, toy_faces, tmp_path, queue)
    workers = [context.Process(target=share_work, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    lines = []
    while any(worker.is_alive() for worker in workers) or not queue.empty():
        with contextlib.suppress(Empty):
            lines.append(queue.get(timeout=0.2))
    assert [worker.exitcode for worker in workers] == [0, 0]
    done = [(line["run"], line["stage"], line["epoch"]) for line in lines]
    assert len(done) == len(set(done)) > 0
    assert {run for run, *_ in done} == {f"{v}/part-{n}" for v in names for n in (1, 2)}


def test_a_network_that_stays_at_chance_begins_anew_once_and_is_named(toy_faces, tiny_plan, tmp_path):
    plan = tiny_plan("paper-raw", folds=FoldOptions("repeated", folds=2, positives=5, others=1))  # one part
    still = plan.variants[0]
    still = replace(still, loop=replace(still.loop, epochs=5, rate=1e-9))  # too low a rate to learn
    results = reproduce(replace(plan, variants=(still,)), toy_faces, tmp_path)
    curves = results["variants"]["paper-raw"]["curves"]
    assert list(dict.fromkeys(c["stage"].split("/")[1] for c in curves if "/" in c["stage"]))[-8:] == list(
        EMOTIONS
    )
    first, again = (c for c in curves if c["part"] == "part-1" and "/fear" in c["stage"])
    assert (first["stage"], len(first["lines"])) == ("whole/fear", 3), "it gave up"
    assert (again["stage"], len(again["lines"])) == ("whole/fear/again", 5)
    (warning,) = results["warnings"]
    found = re.match(r"paper-raw: (\d+) of its networks are no better .* part-1/", warning)
    assert found
    assert int(found[1]) >= 8


def share_work(plan, corpus, folder, queue):
    torch.set_num_threads(1)
    reproduce(plan, corpus, folder, queue.put)


def of_part(probabilities, tested):
    """(N,) whether each picture was asked of the part's network."""
    return np.array([any(np.array_equal(row, each) for each in tested) for row in probabilities])


def test_the_command_tells_how_long_refuses_a_device_that_is_not_there_and_repeats_with_seeds(
    toy_faces, tiny_plan, tmp_path, monkeypatch
):
    shrunk = tiny_plan("paper-raw").variants[0]
    monkeypatch.setattr("mien.paper.variants.make_variant", lambda _: shrunk)
    monkeypatch.setattr("mien.paper.corpora.load_corpus", lambda *_: toy_faces)
    reported = []  # test_report.py looks at what is drawn
    monkeypatch.setattr("mien.paper.report.report_folder", reported.append)
    command = ["reproduce", "paper", "--variant", "paper-raw", "--folds", "2", "--out", str(tmp_path)]
    command += ["--networks", "one", "--threshold", "winner"]
    wrong = CliRunner().invoke(app, [*command, "--device", "cuda:77"])
    assert wrong.exit_code
    assert isinstance(wrong.exception, ConfigError)
    assert "--device" in str(wrong.exception)
    done = CliRunner().invoke(app, [*command, "--root", str(tmp_path), "--seeds", "2", "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert re.search(r"about \d+ (seconds|minutes) on cpu for 4 parts", done.output)
    results = {seed: json.loads((tmp_path / f"seed-{seed}" / "results.json").read_text()) for seed in (3, 4)}
    (row,) = csv.DictReader((tmp_path / "seeds.csv").read_text().splitlines())
    accuracies = [np.mean(fold_accuracies({seed: each}, "paper-raw-8way")) for seed, each in results.items()]
    assert float(row["accuracy"]) == pytest.approx(100 * np.mean(accuracies), abs=0.01)
    assert (row["seeds"], row["folds"], float(row["gain"])) == ("2", "2", 0.0)
    assert results[3]["folds"] == results[4]["folds"], "the same folds"
    assert reported == [tmp_path / "seed-3", tmp_path / "seed-4"]


def test_a_gain_over_seeds_and_folds_has_the_interval_of_its_folds():
    def results(values):
        measures = [{"emotion": e, "ours": {"folds": [{"accuracy": v} for v in values]}} for e in EMOTIONS]
        return {"measures": measures, "eight_way": {"counts": np.eye(8).tolist()}}

    seeds = {
        seed: {"variants": {"a": results([0.5, 0.6]), "b": results([0.7 + seed / 50, 0.9])}}
        for seed in (0, 1)
    }
    first, second = csv.DictReader(compare_seeds(seeds).splitlines())
    assert float(first["gain"]) == 0
    assert float(second["gain"]) == pytest.approx(25.5)
    assert 20 <= float(second["gain from"]) < 25.5 < float(second["gain to"]) <= 30
    assert float(second["lowest seed"]) == pytest.approx(80)
    # seeds that all agree tell no more of folds than one does
    gains = {"a": results(np.zeros(10).tolist()), "b": results(np.linspace(0, 1, 10).tolist())}
    for many in (1, 6):
        table = compare_seeds({seed: {"variants": gains} for seed in range(many)})
        _, last = csv.DictReader(table.splitlines())
        mine = np.linspace(0, 100, 10)[np.random.default_rng(5).integers(0, 10, (4000, 10))].mean(1)
        ends = float(last["gain from"]), float(last["gain to"])
        assert ends == pytest.approx(np.percentile(mine, [2.5, 97.5]), abs=1.5)
