"""transformers' Trainer with our own sharing of studies, exact token means as losses, and complete checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerControl

from benchmark import processes
from benchmark.errors import Diverged

from ._batches import BatchPlan, CountingCollate, CountingDataset, EpochBatches, bucketed, by_length, shuffled
from ._checkpoints import COMPLETE, drop_all_but, is_finite
from ._data import Collate
from ._history import History
from ._vision_gpt2 import IGNORED, count_targets, token_losses

MakeOptimizer = Callable[[Any], tuple[Optimizer, LRScheduler]]
"""From a model to what changes its weights, and how the learning rate goes."""


class ReportTrainer(Trainer):
    """Processes share the studies through `_batches` alone: accelerate is given no data loader to divide again."""

    control: TrainerControl
    optimizer: Optimizer | None

    def __init__(
        self,
        history: History,
        report: Callable[[str], None],
        plan: BatchPlan,
        options: Mapping[str, Any],
        collate: Collate,
        make_optimizer: MakeOptimizer | None = None,
        **kwargs: Any,
    ):
        super().__init__(data_collator=collate, **kwargs)
        self.collate = CountingCollate(collate)
        self.make_optimizer = make_optimizer
        self.remove_callback(PrinterCallback)
        self.history = history
        self.report = report
        self.plan = plan
        self.channels_last: bool = options["channels_last"]
        self.label_smoothing: float = kwargs["model"].config.label_smoothing
        self.folder = Path(str(self.args.output_dir))
        n, seed = len(kwargs["train_dataset"]), self.args.seed
        if options["length_buckets"]:
            order = bucketed(kwargs["train_dataset"].lengths, options["batch_size"], seed)
        else:
            order = shuffled(n, seed)
        self.batches = EpochBatches(order, n, plan, processes.rank())
        self.step_losses: list[torch.Tensor] = []
        """Sum of the losses and number of targets of each batch since the last step."""
        self.unreadable: set[str] = set()

    def train(self, *arguments: Any, **more: Any) -> Any:
        """As Trainer's, and the loader's workers end with it: each that is left for the garbage collector to end, the
        next training in this process waits for five seconds.
        """
        try:
            return super().train(*arguments, **more)
        finally:
            self.callback_handler.train_dataloader = None

    def create_optimizer(self, model: Any = None) -> Optimizer:
        """Our own is made here, since with FSDP Trainer takes none that is made before."""
        if self.make_optimizer and self.optimizer is None:
            self.optimizer, self.lr_scheduler = self.make_optimizer(model or self.model)
        return super().create_optimizer(model)

    def get_train_dataloader(self) -> DataLoader:
        return self._loader(self.train_dataset, self.batches)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        data: Any = self.eval_dataset
        plan = BatchPlan(self.plan.micro, 1, self.plan.processes)
        return self._loader(data, EpochBatches(by_length(data.lengths), len(data), plan, processes.rank()))

    def _loader(self, dataset: Any, batches: EpochBatches) -> DataLoader:
        return DataLoader(
            CountingDataset(dataset),
            batch_sampler=batches,
            collate_fn=self.collate,
            num_workers=self.args.dataloader_num_workers,
            persistent_workers=self.args.dataloader_persistent_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The batch's part of the loss per target of the whole step, over all processes."""
        counts = self._prepared(inputs)
        num_items_in_batch = num_items_in_batch.clamp(min=1)  # There may be none, where no image could be read.
        targets = count_targets(inputs["labels"])
        outputs = model(**inputs, num_items_in_batch=num_items_in_batch)
        text_loss = outputs.get("text_loss", outputs["loss"]).detach().float()
        self.step_losses.append(torch.stack([counts * text_loss * num_items_in_batch, targets.float()]))
        # The gradients' mean over processes is taken, and their sum is meant.
        loss = outputs["loss"] * (counts * self.plan.processes)
        return (loss, outputs) if return_outputs else loss

    def step_loss(self) -> tuple[float, int]:
        """Sum of the losses and number of targets of the step that ends, over all processes."""
        own = torch.stack(self.step_losses).cpu().double().sum(dim=0).tolist()
        self.step_losses.clear()
        loss_sum, targets = processes.summed(own)
        return loss_sum, int(targets)

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Mean loss over the targets of all validation studies, each once, as `eval_loss`."""
        model: torch.nn.Module = self.model_wrapped
        model.eval()
        sums: list[torch.Tensor] = []
        for inputs in self.get_eval_dataloader():
            counts = self._prepared(inputs)
            inputs = self._prepare_inputs(inputs)
            labels = inputs.pop("labels")
            with self.compute_loss_context_manager():
                losses = token_losses(model(**inputs).logits, labels, self.label_smoothing)
            sums.append(torch.stack([counts * losses.sum(), labels[:, 1:].ne(IGNORED).sum().float()]))
        loss_sum, targets = processes.summed(torch.stack(sums).cpu().double().sum(dim=0).tolist())
        metrics = {"eval_loss": loss_sum / targets}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _prepared(self, inputs: dict[str, Any]) -> float:
        """Make the inputs the model's alone; returns 1 where they count, else 0."""
        for sentence in inputs.pop("unreadable", ()):
            if sentence not in self.unreadable:
                self.unreadable.add(sentence)
                self.report(f"Left out of training: {sentence}")
        if self.channels_last:
            for key, value in inputs.items():
                if torch.is_tensor(value) and value.ndim == 4:
                    inputs[key] = value.contiguous(memory_format=torch.channels_last)
        return inputs.pop("counts")

    def whole_weights(self) -> dict[str, torch.Tensor] | None:
        """The weights where they are divided among processes, all of which must ask; None where each has them all."""
        return self.accelerator.get_state_dict(self.model) if self.is_fsdp_enabled else None

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        target = self.folder / f"checkpoint-{self.state.global_step}"
        if not processes.summed([not is_finite(model)]) == [0]:
            raise Diverged(
                f"Weights are no longer numbers after step {self.state.global_step} of {self.state.max_steps}"
            )
        super()._save_checkpoint(model, trial)
        processes.wait()
        if processes.first():
            self.history.save(target / COMPLETE)
            drop_all_but(target.parent, target.name, f"best-{self.history.best_epoch}")
