"""A callback that keeps what it is given."""


class Recorder:
    """Keeps what the hooks are given; stops, or presses Ctrl-C, after some epoch."""

    def __init__(self, stop_after=None, interrupt_after=None):
        self.stop_after, self.interrupt_after = stop_after, interrupt_after
        self.begun, self.ended, self.models, self.arguments = [], [], [], []

    def setup(self, estimator, context):
        self.begun.append("setup")

    def teardown(self, estimator, context):
        self.ended.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.begun.append(context.task_name)
        self.arguments.append((X, y))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.ended.append(context.task_name)
        self.arguments.append((X, y))
        self.models.append(fitted_estimator)
        n_epochs = self.ended.count("epoch")
        if context.task_name == "epoch" and n_epochs == self.interrupt_after:
            raise KeyboardInterrupt
        return context.task_name == "epoch" and n_epochs == self.stop_after
