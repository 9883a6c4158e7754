"""Embed the known tasks from `shared/task_images` under the bundled proxy and the real encoder.

    python benchmark/data/embed_tasks.py --shared ../shared [--proxy fennec-mini --proxy LOCAL_FOLDER]

Writes `data/embeddings/<proxy>.safetensors`. Every image is used, at most 300 per task; the thin sets
(fgvc_aircraft, sun397, diabetic_retinopathy) have 10 to 26.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fennec.images.open import open_dataset
from fennec.tasks.embedding import TaskEmbedding, embed_dataset
from fennec.tasks.embedding_files import save_embeddings
from fennec.tasks.proxy import Proxy


def embed_all(proxy: Proxy, shared: Path) -> dict[str, TaskEmbedding]:
    """Embedding of every known task with images, by image set."""
    embeddings = {}
    for path in sorted((shared / "task_images").glob("*.parquet")):
        embedding = embed_dataset(open_dataset(path), proxy, max_images=300)
        embeddings[path.stem] = embedding
        print(f"{proxy.name} {path.stem}: {embedding.n_images} images, {embedding.seconds:.1f} s", flush=True)
    return embeddings


def main() -> None:
    """Embed and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--proxy", action="append")
    parser.add_argument("--output", type=Path, default=Path("data/embeddings"))
    arguments = parser.parse_args()
    for spec in arguments.proxy or ("fennec-mini", str(arguments.shared / "proxy" / "dav2-ViT-S-14")):
        proxy = Proxy.load(spec)
        save_embeddings(arguments.output / f"{proxy.name}.safetensors", embed_all(proxy, arguments.shared))


if __name__ == "__main__":
    main()
