"""The context in which `fit` takes one process's share of the rows."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from .collectives import Collectives
from .ranks import fits_inside, working_as
from .several_ranks import Ranks


@contextlib.contextmanager
def data_parallel(group=None) -> Iterator[None]:
    """Let several processes fit one model, each to a share of the rows.

    Inside, ``fit(X)`` takes X as the shard of this process (its *rank*): all ranks call it, with the same
    parameters and rows of their own, which need not be equally many. All end with the same fitted estimator: the
    one that a single process would have fitted to the rows of all ranks, one rank after the other, but for
    rounding. So ``batch_size``, ``validation_fraction`` and all that is measured of rows are those of the whole,
    and stopping is decided on its losses.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, default=None
        The processes, as ``torchrun``, Ray Train, a Spark TorchDistributor or
        ``torch.distributed.init_process_group`` has set them up. None is the default group.

    Raises
    ------
    RuntimeError
        If there is no process group, or this process is not in it. From ``fit``: on all other ranks if one has
        failed, with its number and message; or if a rank is lost.
    ValueError
        From ``fit``, on all ranks, if they were given different parameters, or rows of different widths.
    NotImplementedError
        From what looks at all rows in one process: `AutoencoderClassifier`, `AutoencoderOutlierDetector`,
        `AutoencoderImputer`, `TabularVAESampler`, and ``partial_fit``.

    Notes
    -----
    The random state is that of rank 0. Noise is drawn for the batch as a whole on each rank, which keeps that of
    its rows: a fit does not depend on how the rows are shared out. Only functions of yours (a callable ``noise``,
    dropout in a custom module) draw from a generator of the rank's own. Callbacks are called on each rank and look
    at its rows; where one asks to stop, all stop. An interrupt from the keyboard ends the fit, and nothing is
    kept.

    No rank waits for one that has raised an error. It does wait for one that does not come, as long as the process
    group's timeout says. Other steps of a pipeline know nothing of ranks: a scaler would be fitted to the shard.

    Examples
    --------
    In a script that is started by ``torchrun --nproc-per-node=2 script.py``, and loads its own part of the rows,
    ``init_process_group("gloo")`` is enough. Here is a group of one process:

    >>> import torch.distributed
    >>> from sklearn.datasets import load_digits
    >>> import skae
    >>> torch.distributed.init_process_group(
    ...     "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    ... )
    >>> X = load_digits().data
    >>> rank, n_ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    >>> with skae.data_parallel():
    ...     model = skae.AutoencoderTransformer(8, max_iter=5, random_state=0).fit(X[rank::n_ranks])
    >>> model.transform(X).shape
    (1797, 8)
    >>> torch.distributed.destroy_process_group()
    """
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        raise RuntimeError(
            "skae.data_parallel needs a process group, but there is none. Start the script with torchrun, or from "
            "Ray Train or Spark's TorchDistributor, and call torch.distributed.init_process_group('gloo') before."
        )
    if distributed.get_rank(group) < 0:
        raise RuntimeError(
            f"skae.data_parallel: process {distributed.get_rank()} is not in the group that it was given. Only "
            "the processes of the group may enter it."
        )
    with fits_inside(partial(_together, group)):
        yield


@contextlib.contextmanager
def _together(group: Any) -> Iterator[None]:
    """Inside, in a fit, the ranks of the group are at work: where one fails, all do."""
    collectives = Collectives(group)
    with working_as(Ranks(collectives)):
        try:
            yield
            collectives.meet()
        except BaseException as error:
            with contextlib.suppress(RuntimeError):  # who cannot be told is lost
                collectives.report(error)
            raise
