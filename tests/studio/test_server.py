"""What the page asks over HTTP and what it gets, without a browser."""

import base64
import io
import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra `studio` is not installed")
pytest.importorskip("httpx2", reason="Starlette's test client is not installed")

from starlette.testclient import TestClient

from gravlensdiffusion.studio.guess import MAX_GAMES, NUM
from gravlensdiffusion.studio.order import Turns
from gravlensdiffusion.studio.server import MAX_BODY, PAGE, build_app
from tests.studio.studios import BEFORE, SIMULATED, studio

HOST = "http://127.0.0.1:8421"


@pytest.fixture
def client():
    return TestClient(build_app(studio()), base_url=HOST)


@pytest.fixture
def own():
    return TestClient(build_app(studio(own=True, report=b"<!doctype html>good")), base_url=HOST)


def unpacked(packed):
    values = np.frombuffer(base64.b64decode(packed["data"]), "<f4")
    return values.reshape(packed["shape"])


def lines(answer):
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_page_is_told_of_the_model(client, own):
    about = client.get("/api/about").json()
    assert (about["name"], about["size"], about["preset"]) == ("tiny", 8, "deeplense")
    assert [each["name"] for each in about["parameters"]] == [
        "theta_E",
        "source_x",
        "signal_to_noise",
    ]
    assert about["set"] is None
    assert not about["has_report"]
    about = own.get("/api/about").json()
    assert (about["set"]["name"], about["set"]["num"], about["has_report"]) == ("mine.h5", 5, True)


def test_a_lens_is_that_of_a_notebook_beside_that_of_the_simulation(client):
    order = {"label": "cdm", "parameters": {"theta_E": 1.2, "source_x": 0.1}, "seed": 3}
    found = client.post("/api/lens", json=order).json()
    samples = studio().generator.sample(
        1, label="cdm", parameters={"theta_E": 1.2, "source_x": 0.1}, seed=3
    )
    np.testing.assert_array_equal(unpacked(found["generated"]["image"]), samples.images[0, 0])
    np.testing.assert_array_equal(
        unpacked(found["generated"]["noise_free"]), samples.noise_free[0, 0]
    )
    assert found["parameters"] == {"theta_E": 1.2, "source_x": 0.1}
    assert found["simulated"]["is_same"]
    # Both images have the same noise, so that what is left between them is the model's.
    noise = [
        unpacked(found[which]["image"]) - unpacked(found[which]["noise_free"])
        for which in ("generated", "simulated")
    ]
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-5)
    assert np.std(noise[0]) > 1e-3


def test_the_simulation_follows_the_order(client):
    def ring(theta_E):
        order = {"label": "no_sub", "parameters": {"theta_E": theta_E, "source_x": 0.0}}
        found = client.post("/api/lens", json=order).json()
        image = unpacked(found["simulated"]["noise_free"])
        row, column = np.indices(image.shape) - 3.5
        return (image * np.hypot(row, column)).sum() / image.sum() * 0.05 * 150 / 8

    assert ring(1.5) - ring(0.9) == pytest.approx(0.6, abs=0.15)


@pytest.mark.parametrize(
    ("order", "word"),
    [
        ({"label": "spiral"}, "spiral"),
        ({"parameters": {"theta_E": 9}}, "theta_E"),
        ({"parameters": {"mass": 1}}, "mass"),
        ({"steps": 10_000}, "steps"),
        ({"guidance": 99}, "guidance"),
        ({"seed": -1}, "seed"),
        ({"model": "/etc/passwd"}, "model"),
        ({"num": "many"}, "num"),
        ("not an order", "order"),
    ],
)
@pytest.mark.parametrize("path", ["/api/lens", "/api/watch", "/api/many"])
def test_what_cannot_be_ordered_is_refused_in_one_line(client, path, order, word):
    answer = client.post(path, json=order)
    assert answer.status_code == 400
    message = answer.json()["error"]
    assert word in message
    assert "\n" not in message


def test_no_more_is_drawn_at_a_time_than_memory_is_meant_for(client):
    most = client.get("/api/about").json()["max_num"]
    for answer in (
        client.post("/api/many", json={"num": most + 1}),
        client.get("/api/file", params={"kind": "h5", "order": json.dumps({"num": 10**9})}),
    ):
        assert answer.status_code == 400
        assert f"at most {most} images" in answer.json()["error"]
    assert client.post("/api/lens", content=b" " * (MAX_BODY + 1)).status_code == 413


def test_a_set_is_drawn_and_saved_as_the_same(client, tmp_path):
    order = {"num": 5, "seed": 2}
    first, *parts, last = lines(client.post("/api/many", json=order))
    assert first == {"total": 5}
    shown = np.stack([unpacked(each) for part in parts for each in part["images"]])
    assert [name for part in parts for name in part["labels"]] == [
        "no_sub",
        "cdm",
        "axion",
        "no_sub",
        "cdm",
    ]
    assert last.keys() == {"shell", "python"}
    files = {
        kind: client.get("/api/file", params={"kind": kind, "order": json.dumps(order)})
        for kind in ("h5", "npz", "png", "fits")
    }
    from gravlensdiffusion import open_set

    (tmp_path / "lenses.h5").write_bytes(files["h5"].content)
    np.testing.assert_array_equal(open_set(tmp_path / "lenses.h5")[:][:, 0], shown)
    with np.load(io.BytesIO(files["npz"].content)) as arrays:
        np.testing.assert_array_equal(arrays["images"][:, 0], shown)
    assert files["png"].content.startswith(b"\x89PNG")
    assert files["png"].headers["content-disposition"] == 'attachment; filename="lenses.png"'
    with zipfile.ZipFile(io.BytesIO(files["fits"].content)) as packed:
        assert packed.namelist() == [f"0000{k}.fits" for k in range(5)]
        packed.extractall(tmp_path / "fits")
    np.testing.assert_allclose(open_set(tmp_path / "fits")[:][:, 0], shown)


def test_files_of_other_kinds_are_refused(client):
    answer = client.get("/api/file", params={"kind": "../h5"})
    assert answer.status_code == 400
    assert "h5, npz, png, fits" in answer.json()["error"]


def test_the_way_from_noise_ends_at_a_lens(client):
    found = client.post("/api/watch", json={"label": "cdm"}).json()
    steps = [frame["step"] for frame in found["frames"]]
    assert steps[0] == 0
    assert steps[-1] == found["num_steps"] >= 30
    last = found["frames"][-1]
    np.testing.assert_allclose(unpacked(last["noisy"]), unpacked(last["guess"]), atol=0.05)


def test_own_images_are_shown_page_by_page(own):
    page = own.get("/api/set", params={"first": 3, "num": 12}).json()
    lenses = studio(own=True).lenses
    assert page["first"] == 3
    np.testing.assert_array_equal([unpacked(each) for each in page["images"]], lenses[:][3:, 0])
    for first in ("5", "-1", "1e3", "x"):
        assert own.get("/api/set", params={"first": first}).status_code == 400


def test_without_a_set_or_a_report_there_is_none(client):
    assert client.get("/report").status_code == 404
    answer = client.get("/api/set")
    assert answer.status_code == 400
    assert "no set" in answer.json()["error"]


def test_a_report_runs_nothing_and_loads_nothing(own):
    answer = own.get("/report")
    assert answer.text == "<!doctype html>good"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy
    assert "script" not in policy


def test_a_game_hides_the_truth_until_it_is_answered(own):
    game = own.post("/api/guess").json()
    assert game["origins"] == ["real", "simulated", "generated"]
    assert game.keys() == {"game", "images", "origins"}
    images = np.stack([unpacked(each) for each in game["images"]])
    assert images.shape == (NUM, 8, 8)
    np.testing.assert_allclose([images.min((1, 2)), images.max((1, 2))], [[0] * NUM, [1] * NUM])
    answers = {"game": game["game"], "origins": ["generated"] * NUM}
    found = own.post("/api/answer", json=answers).json()
    assert set(found["truth"]) == set(game["origins"])
    assert found["score"] == found["truth"].count("generated")
    assert own.post("/api/answer", json=answers).status_code == 400


def test_a_game_needs_all_answers_and_something_to_tell_apart(client):
    game = client.post("/api/guess").json()["game"]
    assert client.post("/api/answer", json={"game": game, "origins": []}).status_code == 400
    alone = TestClient(build_app(studio(BEFORE)), base_url=HOST)
    assert alone.post("/api/guess").status_code == 400


def test_old_games_are_forgotten(client, monkeypatch):
    monkeypatch.setattr("gravlensdiffusion.studio.guess.MAX_GAMES", 2)
    assert MAX_GAMES == 200
    first, *_ = [client.post("/api/guess").json()["game"] for _ in range(3)]
    answers = {"game": first, "origins": ["real"] * NUM}
    assert client.post("/api/answer", json=answers).status_code == 400


def test_a_model_of_no_known_simulation_has_nothing_beside_it():
    client = TestClient(build_app(studio(BEFORE)), base_url=HOST)
    assert client.get("/api/about").json()["preset"] is None
    found = client.post("/api/lens", json={"label": "cdm"}).json()
    assert found["simulated"] is None
    assert found["generated"]["noise_free"] is None


def test_a_simulation_on_another_scale_is_none_of_the_model():
    assert studio(replace(SIMULATED, pixel_scale_arcsec=0.5)).preset is None
    assert studio(replace(SIMULATED, training_data="6 images, preset other")).preset is None


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8421"},
        {"host": "127.0.0.1.evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_get_nothing(client, headers):
    for answer in (
        client.get("/", headers=headers),
        client.post("/api/lens", json={}, headers=headers),
    ):
        assert answer.status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8421", "localhost:9", "[::1]:9", "localhost"])
def test_this_machine_is_known_by_its_names(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/page/../server.py", "/page/..%2fserver.py", "/page//etc/passwd", "/page/.", "/page/main.py"],
)
def test_no_file_but_the_page_is_served(client, path):
    assert client.get(path).status_code == 404


def test_the_page_names_no_other_place_and_may_load_none(client):
    for path in PAGE.iterdir():
        text = path.read_text()
        foreign = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) - {"http://www.w3.org"}
        assert not foreign, path.name
        answer = client.get(f"/page/{path.name}")
        assert answer.text == text
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_too_many_orders_at_once_are_told_to_wait():
    client = TestClient(build_app(studio(), Turns(max_waiting=0)), base_url=HOST)
    answer = client.post("/api/lens", json={})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "try again" in answer.json()["error"]


def test_what_breaks_is_told_in_one_line_and_breaks_nothing_else(monkeypatch):
    shown = studio()
    client = TestClient(build_app(shown), base_url=HOST, raise_server_exceptions=False)
    with monkeypatch.context() as patched:
        patched.setattr(type(shown), "lens", lambda *_: 1 / 0)
        answer = client.post("/api/lens", json={})
    assert answer.status_code == 500
    assert "terminal" in answer.json()["error"]
    assert client.post("/api/lens", json={}).status_code == 200
