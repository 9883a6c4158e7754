"""A local web page: point to a folder, drop a zip of images or say what they show, set limits, read the report.

It listens on this machine only, hears only itself (`fennec.reports.guard`), never unpacks an archive and deletes it
after use. Requests wait for each other. In: what the person types. Out: the page of `fennec.reports.html`.
"""

from __future__ import annotations

import os
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from fennec.errors import FennecError, InputError, MissingExtraError
from fennec.files import write_whole
from fennec.online import Said, prepare

from .guard import Guard, Uploads
from .html import recommendation_html

ADDRESS = "127.0.0.1"
MAX_UPLOAD_MB = 2_000
MAX_UNPACKED_MB = 8_000
MAX_MEMBERS = 200_000
PROTOCOLS = ("finetune", "linear_probe", "zero_shot")  # that people ask for
N_WAITING = 100  # requests at most
N_SESSIONS = 8  # of browsers whose last answer, some megabytes, stays in memory
KEPT_S = 3600  # what was uploaded and never used
ANY = "any"
LICENCES = (ANY, "apache-2.0", "mit", "bsd-3-clause", "cc-by-nc-4.0")


def answer(
    folder: str,
    upload: str | None,
    protocol: str,
    params: float | None,
    licence: str,
    n: float,
    said: Said | None = None,
    report: Callable[[str], None] = lambda stage: None,
) -> tuple[str, list[list[Any]], str]:
    """What the button does.

    Args:
        folder: path or name of a dataset, empty when a zip was dropped.
        upload: path of the zip, None when there is none.
        protocol: finetune, linear_probe or zero_shot.
        params: most parameters in millions; None or 0 for no limit.
        licence: of the models, or `any`.
        n: models to list.
        said: of the images in words, None where nothing is.
        report: told what comes next.

    Returns:
        The report, the shortlist as rows of rank, model, expected result in %, parameters in millions and minutes to
        train, and what the answer rests on: what was taken of the dataset, what was said of it, notes.

    Raises:
        InputError: neither a folder, a zip nor a description, or a folder and a zip, or an archive that is too large or
            damaged.
        FennecError: as `prepare` and `Recommender.recommend` do.
    """
    place = folder.strip() or None
    if place and upload is not None:
        raise InputError("give either a folder or a zip of images")
    if not place and upload is None and said is None:
        raise InputError("give a folder or a zip of images, or say what they show")
    if upload is not None:
        check_archive(Path(upload))
    conditions = [f"params <= {params * 1e6:.0f}"] if params else []
    conditions += [f"license == '{licence}'"] if licence != ANY else []
    found = prepare(upload or place, said=said, protocol=protocol, report=report)
    report("ranking")
    ranking = found.recommender.recommend(found.task, n=int(n), where=" and ".join(conditions) or None)
    page = recommendation_html(ranking, found.recommender, found.task, found.images, command="fennec ui")
    rows = [
        [model.rank, model.id, round(100 * (model.performance or 0.0), 1),
         None if model.record is None or model.record.params is None else round(model.record.params / 1e6, 1),
         None if model.train_minutes is None else round(model.train_minutes, 1)]
        for model in ranking.models
    ]  # fmt: skip
    words = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in ranking.nearest_in_words)
    rests_on = [str(ranking.data or ""), words and f"words: nearest tasks {words}", *ranking.notes]
    return page, rows, "\n".join(filter(None, rests_on))


def spoken(about: str, classes: str, n_images: float | None) -> Said | None:
    """What the fields say of a task in words, None where they are empty.

    Raises:
        InputError: classes or a number without a description.
    """
    if not about.strip():
        if classes.strip() or n_images:
            raise InputError("classes and a number of images belong to a description; say what the images show")
        return None
    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    return Said(about, names, int(n_images) if n_images else None)


def check_archive(path: Path) -> None:
    """Refuse archives that would fill memory or time; members outside it are refused when it is opened.

    Raises:
        InputError: no zip archive, or too many or too large members.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"'{path.name}' is not a readable zip archive: {error}") from error
    size = sum(member.file_size for member in members) / 1e6
    if len(members) > MAX_MEMBERS or size > MAX_UNPACKED_MB:
        raise InputError(
            f"'{path.name}' holds {len(members)} files of {size:.0f} MB in all; at most {MAX_MEMBERS} files and "
            f"{MAX_UNPACKED_MB} MB are taken, give a folder instead"
        )


def make_page(uploads: Uploads) -> Any:
    """The page, not yet served.

    Args:
        uploads: told which files have been used.

    Raises:
        MissingExtraError: gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # nothing leaves the machine
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingExtraError("the page needs gradio; pip install 'fennec-recommender[ui]'") from error

    stopped: set[str] = set()  # sessions whose request nobody waits for

    def stop(request: gr.Request) -> None:
        stopped.add(str(request.session_hash))

    def begin(request: gr.Request) -> None:
        stopped.discard(str(request.session_hash))

    def clicked(
        folder: str, upload: str | None, about: str, classes: str, n_images: float | None, protocol: str,
        params: float | None, licence: str, n: float, request: gr.Request, progress: Any = gr.Progress(),
    ) -> tuple[Any, ...]:  # fmt: skip
        stages = iter((0.1, 0.2, 0.4, 0.6, 0.9))

        def report(stage: str) -> None:
            if request.session_hash in stopped:
                raise InputError("stopped")
            progress(next(stages, 0.95), desc=stage)

        try:
            if upload is not None and not Path(upload).exists():
                raise InputError(f"'{Path(upload).name}' was deleted after use; drop it again")
            said = spoken(about, classes, n_images)
            page, rows, data = answer(folder, upload, protocol, params, licence, n, said, report)
            path = Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR"))) / "fennec-report.html"
            write_whole(path, page)
        except (FennecError, OSError) as error:
            text = escape(str(error))  # which is taken for HTML
            raise gr.Error(text, duration=None, print_exception=False) from error
        finally:
            if upload is not None:
                uploads.used(str(upload))
        frame = (
            f'<iframe title="report" sandbox="allow-scripts allow-downloads" srcdoc="{escape(page)}" '
            'style="width:100%;height:80vh;border:0"></iframe>'
        )
        return data, rows, gr.DownloadButton(value=str(path), visible=True), frame, None

    for function in (stop, begin, clicked):  # gradio, which gives the request, does not see the names that stand here
        function.__annotations__["request"] = gr.Request
    with gr.Blocks(title="Fennec", analytics_enabled=False, delete_cache=(KEPT_S, KEPT_S)) as page:
        gr.Markdown("# Which pre-trained model should I fine-tune?\nYour images stay on this machine.")
        with gr.Row():
            folder = gr.Textbox(label="Folder of images", placeholder="/home/me/photos")
            upload = gr.File(label="or a zip of images", file_types=[".zip"], type="filepath")
        with gr.Row():
            about = gr.Textbox(label="or say what they show", placeholder="aerial photographs of crops")
            classes = gr.Textbox(label="Classes, by commas (with words)", placeholder="wheat, maize, barley")
            n_images = gr.Number(label="How many images there will be (with words)", value=None)
        with gr.Row():
            protocol = gr.Dropdown(list(PROTOCOLS), value="finetune", label="Protocol")
            params = gr.Number(label="At most this many million parameters (0: no limit)", value=0, minimum=0)
            licence = gr.Dropdown(list(LICENCES), value=ANY, label="Licence")
            n = gr.Slider(1, 50, value=10, step=1, label="Models to list")
        with gr.Row():
            button = gr.Button("Recommend", variant="primary")
            halt = gr.Button("Stop")
        data = gr.Textbox(label="What the answer rests on", interactive=False)
        headers = ["rank", "model", "expected %", "million parameters", "minutes to train"]
        shortlist = gr.Dataframe(headers=headers, label="Shortlist", interactive=False)
        download = gr.DownloadButton("Save the report", visible=False)
        report = gr.HTML()
        button.click(begin, queue=False)
        given = [folder, upload, about, classes, n_images, protocol, params, licence, n]
        asked = button.click(clicked, given, [data, shortlist, download, report, upload])
        halt.click(stop, queue=False, cancels=[asked])
        page.unload(stop)
    return page.queue(max_size=N_WAITING, default_concurrency_limit=1)


@contextmanager
def served(*, port: int | None = None, browser: bool = False) -> Iterator[Any]:
    """The page while it is served on this machine; gives what gradio calls the application.

    Args:
        port: of the address 127.0.0.1; a free one from 7860 when None.
        browser: open it in the browser.

    Raises:
        MissingExtraError: gradio is not installed.
        InputError: the port is taken.
    """
    uploads = Uploads()
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="fennec-page-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # of no other page: what lies in it can be fetched
        page = make_page(uploads)
        try:
            try:
                app, *_ = page.launch(
                    server_name=ADDRESS, server_port=port, inbrowser=browser, share=False, ssr_mode=False,
                    max_file_size=f"{MAX_UPLOAD_MB}mb", prevent_thread_lock=True, state_session_capacity=N_SESSIONS,
                    app_kwargs={"middleware": [(Guard, (uploads,), {})]},
                )  # fmt: skip
            except OSError as error:
                raise InputError(
                    f"port {port} of {ADDRESS} cannot be used ({error}); give another with --port"
                ) from error
            yield app
        finally:
            page.close(verbose=False)
            if before is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = before


def serve(*, port: int | None = None, browser: bool = True) -> None:
    """Serve the page on this machine until interrupted.

    Args:
        port: as for `served`.
        browser: as for `served`.

    Raises:
        MissingExtraError: gradio is not installed.
        InputError: the port is taken.
    """
    with served(port=port, browser=browser):
        threading.Event().wait()
