from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fennec.checkpoints.weights import fingerprint, values_of
from fennec.errors import ArtifactError, InputError, OfflineError, UnknownTaskError
from fennec.images.open import open_dataset
from fennec.settings import data_dir
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.tasks.known_tasks import TORCHVISION, embed_known_tasks
from fennec.tasks.proxy import Proxy, load_bundled
from tests.tasks.towers import make_tower


@pytest.fixture(scope="module")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny open_clip model with random weights, laid out as on the hub."""
    return make_tower(tmp_path_factory.mktemp("towers") / "tiny-vit", context_length=8)


@pytest.fixture(scope="module")
def timm_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("timm") / "weights.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


@pytest.fixture(params=["fennec-mini", "open_clip", "timm"])
def proxy(request: pytest.FixtureRequest, open_clip_folder: Path, timm_weights: Path) -> Proxy:
    if request.param == "open_clip":
        return Proxy.load(str(open_clip_folder))
    if request.param == "timm":
        return Proxy.load("timm:test_resnet.r160_in1k", weights=timm_weights)
    return Proxy.load("fennec-mini")


def test_proxy__any__features_of_any_picture(proxy: Proxy, picture: Callable[..., Image.Image]) -> None:
    sizes = [(1, 1), (3, 500), (64, 48), (200, 200)]
    features = proxy.embed([picture(index, size) for index, size in enumerate(sizes)])
    assert features.shape == (4, proxy.n_features)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_proxy__any__batches_and_repeats_do_not_matter(proxy: Proxy, picture: Callable[..., Image.Image]) -> None:
    pictures = [picture(index, (50, 40)) for index in range(5)]
    alone = np.concatenate([proxy.embed([image]) for image in pictures])
    np.testing.assert_allclose(proxy.embed(pictures), alone, rtol=1e-4, atol=1e-5)
    assert proxy.embed([]).shape == (0, proxy.n_features)


def test_proxy__loaded_twice__same_identity(open_clip_folder: Path) -> None:
    one, two = Proxy.load(str(open_clip_folder)), Proxy.load(f"local-dir:{open_clip_folder}")
    assert one.fingerprint == two.fingerprint
    assert one.name == two.name == "tiny-vit"
    assert one.preprocessing["mean"] == (0.5, 0.5, 0.5) or list(one.preprocessing["mean"]) == [0.5] * 3
    assert one.fingerprint != Proxy.load("fennec-mini").fingerprint


def test_fennec_mini__bundled__check_vector_and_card() -> None:
    folder = data_dir() / "proxies" / "fennec-mini"
    config = json.loads((folder / "config.json").read_text())
    proxy = Proxy.load("fennec-mini")
    np.testing.assert_allclose(proxy.check_vector(), config["check_vector"], rtol=1e-2, atol=1e-2)
    assert (folder / "README.md").is_file()


def test_fennec_mini__in_onnx_runtime_and_in_torch__same_features_same_identity(
    picture: Callable[..., Image.Image],
) -> None:
    folder = data_dir() / "proxies" / "fennec-mini"
    network = timm.create_model(json.loads((folder / "config.json").read_text())["architecture"], num_classes=0)
    network.load_state_dict({n: it.float() for n, it in load_file(folder / "model.safetensors").items()}, strict=False)
    proxy = load_bundled(folder, "cpu")
    pictures = [proxy.transform(picture(index, (96 + index, 200))) for index in range(5)]
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(np.stack(pictures))).numpy()
    np.testing.assert_allclose(proxy.network(pictures), expected, rtol=1e-4, atol=1e-5)
    assert proxy.fingerprint == fingerprint(values_of(network), proxy.preprocessing)
    assert {it.fingerprint for it in load_known_embeddings().values()} == {proxy.fingerprint}
    elsewhere = load_bundled(folder, "meta")  # any device of torch
    assert elsewhere.fingerprint == proxy.fingerprint


@pytest.mark.parametrize("name", ["config.json", "model.onnx", "model.safetensors"])
@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
def test_fennec_mini__damaged__artifact_error(tmp_path: Path, name: str, damage: str) -> None:
    shutil.copytree(data_dir() / "proxies" / "fennec-mini", tmp_path / "mini")
    path = tmp_path / "mini" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(ArtifactError, match="damaged .*install"):
        load_bundled(tmp_path / "mini")


def test_fennec_mini__preprocessing__shorter_side_and_centre_crop() -> None:
    proxy = Proxy.load("fennec-mini")
    wide = np.zeros((96, 192, 3), dtype=np.uint8)
    wide[:, 48:144] = 200
    square = Image.fromarray(wide[:, 48:144].copy())
    np.testing.assert_allclose(proxy.transform(Image.fromarray(wide)), proxy.transform(square), atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fenec-mini", "unknown proxy 'fenec-mini'; did you mean 'fennec-mini'"),
        ("ViT-L-14/opnai", "did you mean .*ViT-L-14/openai"),
        ("timm:resnet5O.a1_in1k", "unknown timm model .*did you mean .*resnet50"),
        ("timm:resnet50.a9_in1k", "no weights .*did you mean"),
        ("some/folder", "unknown proxy"),
    ],
)
def test_load__unknown_name__nearest_offered(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Proxy.load(spec)


@pytest.mark.parametrize("spec", ["timm:resnet18.a1_in1k", "hf-hub:nobody/nothing"])
def test_load__no_network__one_line(spec: str) -> None:
    with pytest.raises(OfflineError, match="cannot download .*use --proxy fennec-mini"):
        Proxy.load(spec)


def test_load__damaged_weights__artifact_error(open_clip_folder: Path, timm_weights: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in open_clip_folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ArtifactError, match="damaged"):
        Proxy.load(str(broken))
    with pytest.raises(ArtifactError, match="does not hold weights|lacks"):
        Proxy.load("timm:test_vit", weights=timm_weights)
    (tmp_path / "cut.safetensors").write_bytes(timm_weights.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="holds no weights"):
        Proxy.load("timm:test_resnet", weights=tmp_path / "cut.safetensors")


def test_embed_known_tasks__local_copy__embedded_others_reported(tmp_path: Path, plain_proxy: Proxy) -> None:
    for name in ("Forest", "River"):
        folder = tmp_path / "eurosat" / "2750" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), "green").save(folder / "1.jpg")
    messages: list[str] = []
    found = embed_known_tasks(plain_proxy, tmp_path, tasks=["eurosat", "mnist"], report=messages.append)
    assert list(found) == ["eurosat"]
    assert found["eurosat"].n_images == 2
    assert found["eurosat"].class_names == ("Forest", "River")
    assert messages[0] == "eurosat: 2 images"
    assert messages[1].startswith("mnist: left out, no MNIST in")


def test_embed_known_tasks__nothing_there_or_unknown__one_line(tmp_path: Path, plain_proxy: Proxy) -> None:
    with pytest.raises(InputError, match="none of 2 known tasks"):
        embed_known_tasks(plain_proxy, tmp_path, tasks=["mnist", "dtd"])
    with pytest.raises(UnknownTaskError, match="torchvision has no 'mnits'; did you mean 'mnist'"):
        embed_known_tasks(plain_proxy, tmp_path, tasks=["mnits"])


def test_torchvision_names__all_exist() -> None:
    import torchvision.datasets as library

    assert set(TORCHVISION.values()) <= set(library.__all__)


@pytest.mark.shared
def test_real_encoder__real_images__tells_tasks_apart(shared: Path) -> None:
    proxy = Proxy.load(str(shared / "proxy" / "dav2-ViT-S-14"))
    assert (proxy.name, proxy.n_features, proxy.input_size) == ("dav2-ViT-S-14", 384, 224)
    means = []
    for pack in ("flowers5", "kmnist"):
        dataset = open_dataset(shared / "images" / pack)
        for part in (range(4), range(4, 8)):
            means.append(
                proxy.embed([Image.open(_bytes(dataset.load(index))).convert("RGB") for index in part]).mean(0)
            )
    distance = [[float(np.linalg.norm(a - b)) for b in means] for a in means]
    assert max(distance[0][1], distance[2][3]) < min(distance[0][2], distance[1][3])


def _bytes(content: object) -> object:
    import io

    return io.BytesIO(content) if isinstance(content, bytes) else content
