/* verbs.h - every verb of freshet(1). Each gets what follows its name and answers an exit code. */
#ifndef FR_TOOLS_VERBS_H
#define FR_TOOLS_VERBS_H

int fr_verb_crash(int argc, char **argv);
int fr_verb_iotest(int argc, char **argv);
int fr_verb_version(int argc, char **argv);

#endif
