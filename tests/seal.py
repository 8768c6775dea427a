"""seal.py -- right checksums for files that tests make or edit, by the rules of ctpgbench_analysis/read/verify.py

That these rules are those of the C side is what test_trust.py finds out, on files of the program.
"""
import h5py
import numpy as np

from ctpgbench_analysis.read import verify
from ctpgbench_analysis.read.file import SCHEMA

FIXED = {"problems", "estimators", "seed", "snapshot", "test_iteration", "test_x0", "test_task", "audit_iteration",
         "path_time"}


FORMAT = ("v108", "latest")  # of HDF5, as the program writes it: all that HDF5 keeps beside the data has checksums


def create(path, kind, statuses):
    """A new file with the attributes of a results file."""
    file = h5py.File(path, "w", libver=FORMAT)
    file.attrs.update({"schema": np.int32(SCHEMA), "kind": np.bytes_(kind), "uuid": np.bytes_("0" * 36),
                       "plan_hash": np.uint64(1), "statuses": np.array(statuses, "S16")})
    return file


def seal(path):
    """Makes all sums of the file those of what it holds, whatever they were; its path."""
    with h5py.File(path, "r+", libver=FORMAT) as file:
        file.visititems(seal_policies)
        file.visititems(seal_fixed)
        for table in verify.SUMS:
            if f"{table}/table" in file:
                seal_rows(file[table], verify.SUMS[table](file))
    return path


def words(sum_):
    """The two 64-bit numbers of a sum."""
    return np.frombuffer(sum_, "<u8")


def seal_fixed(name, item):
    last = name.rsplit("/", 1)[-1]
    if isinstance(item, h5py.Dataset) and (last in FIXED or "/constants/" in name or "checksum" in item.attrs):
        item.attrs["checksum"] = words(verify.sum_of(verify.bytes_of(item)))


def seal_policies(name, item):
    """theta_checksum of a trained pair."""
    if not isinstance(item, h5py.Group) or "theta" not in item or "snapshot" not in item:
        return
    theta, snapshots = item["theta"][()], item["snapshot"][()].astype("<i8")
    sums = [[words(verify.sum_of(k.tobytes(), policy.tobytes())) for k, policy in zip(snapshots, run)] for run in theta]
    item.require_dataset("theta_checksum", (*theta.shape[:2], 2), "<u8")[...] = sums


def seal_rows(group, sums):
    """identity and the sums of the commits, whose statuses stay."""
    commits = group["commit"][()]
    identity = np.zeros((len(commits), 2), "<u8")
    for row in range(len(commits)):
        identity[row] = words(sums.identity(row))
        commits["checksum_0"][row], commits["checksum_1"][row] = words(sums.whole(row))
    group["commit"][...] = commits
    group.require_dataset("identity", identity.shape, "<u8")[...] = identity
