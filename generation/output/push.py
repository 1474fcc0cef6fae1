"""Upload a finished dataset to the hub."""

from __future__ import annotations

from pathlib import Path

from constitution.errors import Problem, UserError
from generation.engines.quiet import quiet
from generation.output.manifest import Manifest


def files_to_push(manifest: Manifest) -> list[str]:
    """What is uploaded: the dataset and its card. Never the calls, which hold every prompt whole."""
    return [*sorted(manifest.files), "README.md", "constitution.yaml", "manifest.json"]


def push(folder: Path, manifest: Manifest, repository: str) -> None:
    """Upload the dataset of a finished run; the token comes from the environment or the hub's own login. Raises UserError."""
    quiet()
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(repository, repo_type="dataset", exist_ok=True)
        api.upload_folder(
            repo_id=repository, repo_type="dataset", folder_path=folder, allow_patterns=files_to_push(manifest)
        )
    except Exception as error:  # the hub's client raises many kinds, all of which mean the same to the user
        reason = " ".join(str(error).split())[:300]
        fix = f"check the name, the network and HF_TOKEN; the dataset is whole in {folder}, run the same command again to retry"
        raise UserError(Problem(f"--push {repository}", got=f"the upload failed ({reason})", fix=fix)) from error
