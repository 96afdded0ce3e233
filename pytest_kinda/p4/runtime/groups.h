/* SPDX-License-Identifier: Apache-2.0
 *
 * Multicast groups and mirror sessions: what the replication engine is told.
 */
#define GROUPS 65536
#define SESSIONS 32768

struct copy { uint32_t port; uint16_t replica; };
struct group { struct copy *copies; uint32_t count; };
struct session { bool exists, has_port; uint32_t port; uint16_t group; };

static struct group groups[GROUPS];
static struct session sessions[SESSIONS];

static void group_set(uint32_t group, struct copy *copies, uint32_t count)
{
    free(groups[group].copies);
    groups[group].copies = copies;
    groups[group].count = count;
}
