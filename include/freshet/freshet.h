/* freshet.h - all of the public interface. */
#ifndef FRESHET_FRESHET_H
#define FRESHET_FRESHET_H

#include "freshet/alloc.h"
#include "freshet/api.h"
#include "freshet/backup.h"
#include "freshet/db.h"
#include "freshet/event.h"
#include "freshet/index.h"
#include "freshet/log.h"
#include "freshet/repair.h"
#include "freshet/status.h"
#include "freshet/table_writer.h"
#include "freshet/verify.h"
#include "freshet/version.h"

#endif
