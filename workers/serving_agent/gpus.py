"""Measures GPUs with NVIDIA's own library; reports nothing on a machine without a GPU."""

from collections.abc import Collection

import pynvml
import structlog

_log = structlog.get_logger(__name__)


class Gpus:
    """The GPUs of this machine. Opened once; none if the driver is missing."""

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except pynvml.NVMLError as error:
            _log.info("no_gpu_measured", reason=str(error))
            self._handles = []

    def of_host(self) -> dict[str, float]:
        """Return the utilisation of the GPUs together, and how much of their memory is used."""
        if not self._handles:
            return {}
        try:
            busy = [pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in self._handles]
            used = [pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in self._handles]
        except pynvml.NVMLError as error:
            _log.warning("gpu_not_measured", reason=str(error))
            return {}
        return {"gpu_percent": sum(busy) / len(busy), "gpu_memory_bytes": float(sum(used))}

    def of_processes(self, pids: Collection[int]) -> dict[str, float]:
        """Return the GPU memory of processes; those that use none are left out."""
        held: list[int] = []
        try:
            for handle in self._handles:
                running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
                held += [one.usedGpuMemory for one in running if one.pid in pids and one.usedGpuMemory is not None]
        except pynvml.NVMLError as error:
            _log.warning("gpu_not_measured", reason=str(error))
            return {}
        return {"gpu_memory_bytes": float(sum(held))} if held else {}
