"""Share a fitted recommender through the Hugging Face Hub: the files of `Recommender.save`, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fennec.errors import ArtifactError, FennecError, InputError, OfflineError
from fennec.files import finish, read_file, with_manifest, write_together

from .artifact import FILES, READ, check_contents, load_space
from .transfer_space import TransferSpace


def push(folder: str | Path, repository: str, *, private: bool = False) -> str:
    """Upload a recommender; the repository is made where it does not exist.

    Args:
        folder: written by `Recommender.save` or `fennec fit`.
        repository: `ORG/NAME` on the Hub; the token is that of `hf auth login` or `HF_TOKEN`.
        private: for a repository that is made now.

    Returns:
        Address of the commit.

    Raises:
        ArtifactError: the folder holds no recommender.
        InputError: the repository has no such name, or the Hub refuses.
        OfflineError: the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    load_space(folder, TransferSpace)  # a damaged one is not for others
    finish(Path(folder))
    api = HfApi(library_name="fennec-recommender")

    def upload() -> Any:
        api.create_repo(repository, private=private, exist_ok=True)
        return api.upload_folder(
            repo_id=repository,
            folder_path=str(folder),
            allow_patterns=list(FILES),
            commit_message="Upload Fennec recommender",
        )

    return str(_reach(upload, repository))


def pull(repository: str, folder: str | Path, *, revision: str | None = None) -> Path:
    """Download a recommender into a folder; what is not one is not written there.

    Args:
        repository: `ORG/NAME` on the Hub.
        folder: made if need be.
        revision: branch, tag or commit.

    Returns:
        The folder.

    Raises:
        InputError: no such repository, or the Hub refuses.
        ArtifactError: it holds no recommender, or one of another format.
        OfflineError: it is not in the cache and the Hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    found = Path(
        _reach(lambda: snapshot_download(repository, revision=revision, allow_patterns=list(FILES)), repository)
    )
    try:  # files of the cache are links, which a space of one's own may not hold
        contents = {
            name: read_file(found / name, limit=READ.get(name, 10**7)) for name in FILES if (found / name).exists()
        }
        if missing := [name for name in READ if name not in contents]:
            raise ArtifactError(f"{missing[0]} is missing")
        check_contents(contents)
    except (OSError, ArtifactError) as error:
        raise ArtifactError(f"'{repository}' holds no recommender that can be used here: {error}") from error
    target = Path(folder)
    write_together(target, with_manifest(contents, READ))
    return target


def _reach(action: Any, repository: str) -> Any:
    """Do something with the Hub, its errors as ours."""
    from huggingface_hub import errors

    try:
        return action()
    except errors.HFValidationError as error:
        raise InputError(f"'{repository}' is no name of a repository; expected ORG/NAME") from error
    except errors.LocalTokenNotFoundError as error:
        raise InputError("the Hub needs a token; run 'hf auth login' or set HF_TOKEN") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(f"no repository '{repository}' on the Hub, or no right to see it ('hf auth login')") from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, ConnectionError) as error:
        raise OfflineError(f"cannot reach the Hub for '{repository}'; check the network and HF_HUB_OFFLINE") from error
    except errors.HfHubHTTPError as error:
        raise InputError(f"the Hub refuses '{repository}': {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise FennecError(f"'{repository}': {error}") from error
