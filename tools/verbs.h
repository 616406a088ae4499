/* verbs.h - every verb of freshet(1). Each gets what follows its name and answers an exit code. */
#ifndef FR_TOOLS_VERBS_H
#define FR_TOOLS_VERBS_H

int fr_verb_backup(int argc, char **argv);
int fr_verb_bench(int argc, char **argv);
int fr_verb_checkpoint(int argc, char **argv);
int fr_verb_compact(int argc, char **argv);
int fr_verb_crash(int argc, char **argv);
int fr_verb_create(int argc, char **argv);
int fr_verb_delete(int argc, char **argv);
int fr_verb_dump(int argc, char **argv);
int fr_verb_explain(int argc, char **argv);
int fr_verb_export(int argc, char **argv);
int fr_verb_get(int argc, char **argv);
int fr_verb_import(int argc, char **argv);
int fr_verb_iotest(int argc, char **argv);
int fr_verb_ls(int argc, char **argv);
int fr_verb_put(int argc, char **argv);
int fr_verb_rebuild(int argc, char **argv);
int fr_verb_repair(int argc, char **argv);
int fr_verb_restore(int argc, char **argv);
int fr_verb_scan(int argc, char **argv);
int fr_verb_search(int argc, char **argv);
int fr_verb_stat(int argc, char **argv);
int fr_verb_top(int argc, char **argv);
int fr_verb_verify(int argc, char **argv);
int fr_verb_version(int argc, char **argv);

#endif
