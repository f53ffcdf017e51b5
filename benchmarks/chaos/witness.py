"""A run that was killed, held against the same run undisturbed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos import checks
from benchmarks.chaos.sweeps import Case
from benchmarks.chaos.watching import RECORD, whole_lines


@dataclass
class Witness:
    """Looks at a run whenever it was killed, and judges it when it is done."""

    case: Case
    run: Path
    whole: Path
    _records: list[bytes] = field(default_factory=list)
    _ended: list[tuple[int, checks.Rows]] = field(default_factory=list)

    def look(self) -> None:
        """Take down what is recorded and finished now."""
        if record := whole_lines(self.run / RECORD):
            self._records.append(record)
            self._ended.append((checks.wanted(self.run), checks.finished(self.run)))

    def judge(self) -> list[str]:
        """What does not hold of the run, now that it is done; a sentence each."""
        record = self.run / RECORD
        found, undisturbed = checks.events(record), checks.events(self.whole / RECORD)
        faults = checks.finished_once(found) + checks.decisions_follow(record)
        for before in self._records:
            faults += checks.append_only(before, record)
        for epochs, ended in self._ended:
            if epochs == checks.wanted(self.run):  # else it was extended, and goes on
                faults += checks.unchanged(ended, self.run)
        if not self.case.stateless:
            faults += checks.gone_on_from_checkpoints(found)
        if self.case.exact:
            faults += checks.same_tables(self.run, self.whole) + checks.same_scores(self.run, self.whole)
            faults += checks.same_files(self.run, self.whole)
        if self.case.concurrent == 1:
            faults += checks.same_decisions(found, undisturbed)
        return faults

    @property
    def trained_again(self) -> int:
        """How many epochs of replicates were trained more than once."""
        return checks.trained_again(checks.events(self.run / RECORD))
