# This file is how an instance leaves word of why it ended: the exit file, and the exit statuses.

LOAD_FAILED <- 3L
REASON_CHARACTERS <- 500L
DETAIL_CHARACTERS <- 4000L # the end of it; all of it is on stderr

# Put the reason where the platform looks for it: written aside and renamed, so whole or absent.
write_exit <- function(path, reason, detail, kind) {
  reason <- substr(as_utf8(reason), 1L, REASON_CHARACTERS)
  detail <- as_utf8(detail)
  detail <- substr(detail, max(1L, nchar(detail) - DETAIL_CHARACTERS + 1L), nchar(detail))
  aside <- paste0(path, ".", Sys.getpid())
  text <- encode(list(reason = reason, detail = detail, kind = kind))
  written <- tryCatch(
    {
      writeLines(text, aside, useBytes = TRUE)
      file.rename(aside, path)
    },
    error = function(e) FALSE, # a full disk: the reason is on stderr all the same
    warning = function(e) FALSE
  )
  invisible(written)
}
