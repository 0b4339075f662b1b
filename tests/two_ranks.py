"""What each of two ranks does in the tests of `skae.data_parallel`: run as a script, with what to do as argument.

The ranks talk over the loopback address. Results go to a file for each rank.
"""

import os
import pickle
import sys

import numpy as np
import torch

import skae

N_ROWS, N_OF_FIRST = 60, 38  # unequal shards


def settings(estimator):
    """Parameters of the fits that are compared: several batches, of which both ranks have parts, in float64."""
    dtype = {} if estimator.dtype == "auto" else {"dtype": "float64"}
    return {"batch_size": 16, "max_iter": 3, **dtype}


def shard(X, rank):
    """A rank's rows, or labels."""
    return X[:N_OF_FIRST] if rank == 0 else X[N_OF_FIRST:]


def results(model):
    """What a fit has found: weights, and numbers that were measured."""
    networks = {
        f"{network}.{name}": value.numpy().copy()
        for network in ("encoder_", "decoder_")
        for name, value in getattr(model, network).state_dict().items()
    }
    plain = {
        name: np.asarray(value, dtype=float)
        for name, value in vars(model).items()
        if name.endswith("_")
        and name[0] != "_"
        and not isinstance(value, str | torch.nn.Module | torch.device)
        and name not in ("feature_names_in_", "layer_loss_curves_")
    }
    drawn = {"sample": model.sample(3, random_state=0, mean=True)} if isinstance(model, skae.VAESampler) else {}
    return networks | plain | drawn


def every_estimator(rank):
    """Fit every configuration of the common contract to a shard."""
    from parallel_cases import CASES, rows_of

    found = {}
    for name, (estimator, parameters, data) in CASES.items():
        X = rows_of(name)
        own = {key: shard(value, rank) for key, value in data.items()}
        with skae.data_parallel():
            found[name] = results(estimator.set_params(**parameters).fit(shard(X, rank), **own))
    return found


def failures(rank):
    """Fail on one rank in many ways, one after the other; return what each rank is told."""
    from estimators import configured, rows
    from recorder import Recorder

    X = shard(rows(), rank)
    bad = np.where(X[0, 0] == X, np.nan, X) if rank else X

    def stop_late(reconstruction, target):
        stop_late.calls += 1
        if rank == 1 and stop_late.calls == 5:
            raise ArithmeticError("the fifth batch")
        return (reconstruction - target).square().mean(1)

    stop_late.calls = 0

    def own_noise(x, generator):
        drawn = torch.rand(x.shape, generator=generator).to(x)
        own_noise.drawn.append(float(drawn[0, 0]))
        return x * drawn

    own_noise.drawn = []

    def failing_noise(x, generator):
        failing_noise.calls += 1
        if rank == 1 and failing_noise.calls == 6:
            raise ArithmeticError("the sixth noise")
        return x

    failing_noise.calls = 0
    Estimator = skae.AutoencoderTransformer
    attempts = {
        "NaN on rank 1": lambda: configured(Estimator).fit(bad),
        "late": lambda: configured(Estimator, loss=stop_late, batch_size=8).fit(X),
        "amid announced sums": lambda: configured(
            skae.DenoisingAutoencoder, noise=failing_noise, batch_size=8, early_stopping=False
        ).fit(X),
        "diverging": lambda: configured(
            Estimator, solver="sgd", learning_rate=1e30, batch_size=8, early_stopping=False
        ).fit(X),
        "features": lambda: configured(Estimator).fit(X[:, : 5 - rank]),
        "parameters": lambda: configured(Estimator, alpha=0.1 * rank).fit(X),
        "both": lambda: configured(Estimator, tied_weights=True, decoder_hidden_layer_sizes=3).fit(X),
        "partial_fit": lambda: configured(Estimator).partial_fit(X),
        "classifier": lambda: skae.AutoencoderClassifier().fit(X, np.arange(len(X)) % 2),
        "detector": lambda: skae.AutoencoderOutlierDetector().fit(X),
        "table": lambda: skae.TabularVAESampler().fit(X),
        "imputer": lambda: skae.AutoencoderImputer().fit(X),
        "tabular": lambda: skae.TabularVAESampler().fit(X),
    }
    found = {}
    for name, attempt in attempts.items():
        with skae.data_parallel():
            try:
                attempt()
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}"
    with skae.data_parallel():  # the group is as good as new
        model = configured(Estimator).fit(X)
        found["after"] = results(model)
        noisy = configured(skae.DenoisingAutoencoder, noise=own_noise, batch_size=16, early_stopping=True)
        found["own noise"] = results(noisy.fit(X)) | {"noise": np.array(own_noise.drawn)}
        stopping = configured(Estimator, max_iter=50)
        found["stopped"] = (stopping.set_callbacks(Recorder(stop_after=2)) if rank else stopping).fit(X).n_iter_
        before = pickle.dumps(model)
        try:
            model.fit(bad)
        except (ValueError, RuntimeError):
            found["kept"] = pickle.dumps(model) == before
        found["score"] = model.score(X) if rank else None  # which nobody waits for
    return found


def killed(rank):
    """Fit for ever, until rank 1 is killed in the midst."""
    from estimators import configured, rows

    def loss(reconstruction, target):
        loss.calls += 1
        if rank == 1 and loss.calls == 20:
            os.kill(os.getpid(), 9)
        return (reconstruction - target).square().mean(1)

    loss.calls = 0
    with skae.data_parallel():
        try:
            configured(skae.AutoencoderTransformer, loss=loss, max_iter=10**6).fit(shard(rows(), rank))
        except RuntimeError as error:
            return str(error)


if __name__ == "__main__":
    rank = int(os.environ["RANK"])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    found = {"every": every_estimator, "failures": failures, "killed": killed}[sys.argv[1]](rank)
    with open(f"{sys.argv[2]}.{rank}", "wb") as file:
        pickle.dump(found, file)
    if sys.argv[1] == "killed":
        os._exit(0)  # torch may abort at the end of a process whose group has lost a rank
    torch.distributed.destroy_process_group()
