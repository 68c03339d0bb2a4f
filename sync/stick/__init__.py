"""The memory stick: the same bundles as over a line, as encrypted files that somebody carries, in both directions.

    lianxin/
        <producer>-<recipient>/         node ids
            manifest.lxs                written last: signed by the producer; files, ranges, heads, receipt
            3fa90c2e1b7d4a66.age        one bundle, encrypted to the recipient; named by its own digest
        enrol-<node>.lxe, .lxa          a new node's request to the hub, and the hub's answer

There is no session: an export writes what lies above the levels the recipient has stated, an import takes in what
lacks and answers on the same stick with what the other side lacks and with a receipt. Whatever fails, one of the two
done again goes on from where things stand.
"""

from sync.stick.enrolling import enrol_by_stick
from sync.stick.reading import Imported, Progress, import_
from sync.stick.writing import Exported, export

__all__ = ["Exported", "Imported", "Progress", "enrol_by_stick", "export", "import_"]
