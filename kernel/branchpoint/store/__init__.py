"""Parts of a recording on disk: safe files, frames, pages, checkpoints, lists, the manifest."""
