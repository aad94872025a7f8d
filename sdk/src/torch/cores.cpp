/* How many cores this process may keep busy. */
#include "device.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sched.h>
#include <set>
#include <sstream>

namespace vox
{

/* Processors of the affinity mask; hardware threads of one core count once, since they share its
 * multipliers. */
static int affinity_count()
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof(mask), &mask) != 0)
        return 1;
    std::set<std::string> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &mask))
            continue;
        std::string number = std::to_string(cpu);
        std::string siblings = number;
        std::ifstream file("/sys/devices/system/cpu/cpu" + number +
                           "/topology/thread_siblings_list");
        std::getline(file, siblings);
        cores.insert(siblings.empty() ? number : siblings);
    }
    return std::max(1, (int)cores.size());
}

/* Processors' worth of time in one control group's "quota period" line; infinity: no limit or no
 * such file. */
static double quota_read(const std::string &folder)
{
    std::ifstream file(folder + "/cpu.max");
    double quota = 0, period = 0;
    if (!(file >> quota >> period) || period <= 0) /* "max 100000" is no number */
        return INFINITY;
    return quota / period;
}

/* The least quota of this process's group and those around it. Control groups version 2. */
static double quota_least()
{
    std::ifstream file("/proc/self/cgroup");
    std::string line, path;
    while (std::getline(file, line)) {
        if (line.compare(0, 3, "0::") == 0)
            path = line.substr(3);
    }
    double least = quota_read("/sys/fs/cgroup");
    while (path.size() > 1) {
        least = std::min(least, quota_read("/sys/fs/cgroup" + path));
        path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
    return least;
}

int core_count()
{
    double limit = std::ceil(quota_least());
    int count = affinity_count();
    return limit < count ? std::max(1, (int)limit) : count;
}

} // namespace vox
