"""Parts of a recording on disk: careful files, frames, pages, checkpoints, lists, its head."""
