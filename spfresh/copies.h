/*
 * copies.h - vectors that are listed twice.
 *
 * A vector near the border of its posting is missed by a search that looks at the posting on the
 * other side of it. So some vectors have an entry in a second posting, too: a copy. A search that
 * scans either finds the vector, so for the same recall it scans fewer postings, and fewer codes,
 * though each posting has more of them.
 *
 * Which posting: not the second nearest, whose border with the first is where the vector lies least
 * badly, but the one that is likely to be scanned when the first is not. With r what the first
 * centroid leaves of the vector x, and c any other centroid of the neighbourhood, it is the one
 * with the least
 *
 *     |x - c|^2 + <x - c, r>^2 / |r|^2
 *
 * (P. Sun et al., "SOAR: improved indexing for approximate nearest neighbor search", with lambda
 * 1). Of each posting's vectors those get a copy for which that is the smallest part of |r|^2: so
 * many of a hundred (fr_tree_options).
 *
 * A copy is an entry whose version is the row's less one, which is even, so it is told from all
 * other entries by itself, and never counts as the row's own. It is good as long as the row lives
 * and has that version. A row with a good copy says so; where that is nobody knows, nor has to:
 *
 *     the row moves     the copy leads to it as before
 *     the row dies      the copy leads nowhere, until its posting is compacted
 *     its posting is split or dissolved, or the row has come there itself
 *                       the copy is gone, and the row has none
 *
 * Copies are made where nothing else is to do (fr_tree_tidy), and are nowhere but in memory: what
 * is stored does not know of them, and an opened index gets them anew.
 */
#ifndef FR_SPFRESH_COPIES_H
#define FR_SPFRESH_COPIES_H

#include "spfresh/tree.h"

struct fr_copier; /* the memory for it */

FR_NODISCARD fr_status fr_copier_new(const struct fr_space *space, struct fr_copier **ret_copier);
void fr_copier_free(struct fr_copier *copier);

/* Copies for those of a posting's own rows that are to have one and have none. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_copies_add_locked(struct fr_tree *tree, const struct fr_node *node)
        FR_REQUIRES(tree->mu);

/* A posting will be gone: rows whose copies are in it have none. */
void fr_copies_drop_locked(struct fr_tree *tree, const struct fr_node *node) FR_REQUIRES(tree->mu);

/* Whether an entry is a copy that is good, and needed: its row is in another posting. */
bool fr_copy_is_good(const struct fr_rows *rows, const struct fr_node *node, uint32_t place);

/* How many of a posting's entries are; and with those of rows that have come there themselves. */
uint32_t fr_copies_count(const struct fr_rows *rows, const struct fr_node *node);
uint32_t fr_copies_there(const struct fr_rows *rows, const struct fr_node *node);

#endif
