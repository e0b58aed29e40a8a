/* libnvidia-ml.so.1 without a card: the library's real ABI, every value read anew from the file that NVIDIA_STUB_NVML names.
 *
 * A line is `field value`; a field that is missing has the default written here, and `unsupported` returns NVML_ERROR_NOT_SUPPORTED.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK 0
#define INVALID 2
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT 7

typedef struct { char legacy[16]; unsigned domain, bus, device, device_id, subsystem_id; char id[32]; } Pci;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } Process;
typedef struct { unsigned long long reference, ns; } Violation;
typedef struct { unsigned field, scope; long long timestamp, latency; int type, code; uint64_t value; } Field;
typedef struct { unsigned gpu, memory; } Utilisation;

static int find(const char *name, char *value) {
    const char *path = getenv("NVIDIA_STUB_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512], key[128], rest[384];
    int found = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%127s %383[^\n]", key, rest) == 2 && strcmp(key, name) == 0) { strcpy(value, rest); found = 1; }
    if (file) fclose(file);
    return found;
}

static int string(const char *name, const char *otherwise, char *out, unsigned length) {
    char value[384];
    if (!find(name, value)) strcpy(value, otherwise);
    if (strcmp(value, "unsupported") == 0) return NOT_SUPPORTED;
    if (strlen(value) >= length) return INSUFFICIENT;
    strcpy(out, value);
    return OK;
}

static int large(const char *name, unsigned long long otherwise, unsigned long long *out) {
    char value[384];
    if (!find(name, value)) { *out = otherwise; return OK; }
    if (strcmp(value, "unsupported") == 0) return NOT_SUPPORTED;
    *out = strtoull(value, NULL, 0);
    return OK;
}

static int number(const char *name, unsigned otherwise, unsigned *out) {
    unsigned long long value;
    int code = large(name, otherwise, &value);
    if (code == OK) *out = (unsigned)value;
    return code;
}

/* Handles: 0x100 + index is a card, 0x200 + index a MIG instance of the first one. */
static int is_mig(void *handle) { return (uintptr_t)handle >= 0x200; }

int nvmlInit_v2(void) { unsigned code = 0; number("init", 0, &code); return (int)code; }
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *out, unsigned length) { return string("driver", "550.54.15", out, length); }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { return number("cuda", 12040, (unsigned *)out); }
int nvmlDeviceGetCount_v2(unsigned *out) { return number("count", 1, out); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = (void *)(uintptr_t)(0x100 + index); return OK; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    if (strcmp(uuid, "GPU-stub-0") == 0) { *handle = (void *)0x100; return OK; }
    if (strcmp(uuid, "GPU-stub-1") == 0) { *handle = (void *)0x101; return OK; }
    if (strcmp(uuid, "MIG-stub-0") == 0) { *handle = (void *)0x200; return OK; }
    return NOT_FOUND;
}
int nvmlDeviceGetName(void *handle, char *out, unsigned length) {
    return is_mig(handle) ? string("mig_name", "NVIDIA Stub 80GB MIG 1g.10gb", out, length) : string("name", "NVIDIA Stub 80GB", out, length);
}
int nvmlDeviceGetUUID(void *handle, char *out, unsigned length) {
    char uuid[32];
    snprintf(uuid, sizeof uuid, "%s-stub-%u", is_mig(handle) ? "MIG" : "GPU", (unsigned)((uintptr_t)handle & 0xff));
    return string(is_mig(handle) ? "mig_uuid" : "uuid", uuid, out, length);
}
int nvmlDeviceGetPciInfo_v3(void *handle, Pci *pci) { (void)handle; memset(pci, 0, sizeof *pci); return string("pci", "00000000:3B:00.0", pci->id, 32); }
int nvmlDeviceGetVbiosVersion(void *handle, char *out, unsigned length) { (void)handle; return string("vbios", "96.00.5E.00.01", out, length); }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *out) { (void)handle; return number("power_limit", 700000, out); }
int nvmlDeviceGetPowerManagementDefaultLimit(void *handle, unsigned *out) { (void)handle; return number("power_limit_default", 700000, out); }
int nvmlDeviceGetClockInfo(void *handle, unsigned type, unsigned *out) { (void)handle; return type == 1 ? number("sm_clock", 1980, out) : number("memory_clock", 2619, out); }
int nvmlDeviceGetMaxClockInfo(void *handle, unsigned type, unsigned *out) { (void)handle; return type == 1 ? number("sm_clock_max", 1980, out) : number("memory_clock_max", 2619, out); }
int nvmlDeviceGetApplicationsClock(void *handle, unsigned type, unsigned *out) { (void)handle; return type == 1 ? number("sm_clock_application", 1980, out) : number("memory_clock_application", 2619, out); }
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *out) { (void)handle; (void)sensor; return number("temperature", 41, out); }
int nvmlDeviceGetPersistenceMode(void *handle, unsigned *out) { (void)handle; return number("persistence", 1, out); }
int nvmlDeviceGetEccMode(void *handle, unsigned *current, unsigned *pending) { (void)handle; *pending = 1; return number("ecc", 1, current); }
int nvmlDeviceGetComputeMode(void *handle, unsigned *out) { (void)handle; return number("compute_mode", 0, out); }
int nvmlDeviceGetCurrPcieLinkGeneration(void *handle, unsigned *out) { (void)handle; return number("pcie_generation", 5, out); }
int nvmlDeviceGetCurrPcieLinkWidth(void *handle, unsigned *out) { (void)handle; return number("pcie_width", 16, out); }
int nvmlDeviceGetPerformanceState(void *handle, unsigned *out) { (void)handle; return number("performance_state", 0, out); }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *out) { (void)handle; return number("power", 120000, out); }
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *out) { (void)handle; return large("energy", 5000000, out); }
int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *out) { (void)handle; return large("reasons", 0, out); }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *out) { (void)handle; return large("old_reasons", 0, out); }
int nvmlDeviceGetViolationStatus(void *handle, int policy, Violation *out) {
    (void)handle;
    char name[32];
    snprintf(name, sizeof name, "violation_%d", policy);
    out->reference = 0;
    return large(name, 0, &out->ns);
}
int nvmlDeviceGetUtilizationRates(void *handle, Utilisation *out) { (void)handle; out->memory = 0; return is_mig(handle) ? NOT_SUPPORTED : number("utilisation", 0, &out->gpu); }
int nvmlDeviceGetFieldValues(void *handle, int count, Field *fields) {
    (void)handle;
    for (int i = 0; i < count; i++) {
        unsigned value = 0;
        fields[i].code = fields[i].field == 82 ? number("memory_temperature", 50, &value) : INVALID;
        fields[i].value = value;
    }
    return OK;
}

static int processes(const char *name, unsigned *count, Process *out) {
    char value[384];
    unsigned found = 0;
    if (find(name, value)) {
        if (strcmp(value, "unsupported") == 0) return NOT_SUPPORTED;
        for (char *one = strtok(value, " "); one; one = strtok(NULL, " ")) {
            if (found == *count) return INSUFFICIENT;
            memset(&out[found], 0, sizeof *out);
            out[found++].pid = (unsigned)atoi(one);
        }
    }
    *count = found;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, Process *out) { (void)handle; return processes("processes", count, out); }
int nvmlDeviceGetMPSComputeRunningProcesses_v3(void *handle, unsigned *count, Process *out) { (void)handle; return processes("mps_processes", count, out); }

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) { (void)handle; *pending = 0; return number("mig", 0, current); }
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *out) { (void)handle; return number("mig_slots", 7, out); }
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **out) {
    (void)handle;
    unsigned count = 1;
    number("mig_instances", 1, &count);
    if (index >= count) return NOT_FOUND;
    *out = (void *)(uintptr_t)(0x200 + index);
    return OK;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *handle, void **card) {
    if (!is_mig(handle)) return INVALID;
    *card = (void *)0x100;
    return OK;
}
