# This file is the worker as its parent, the front, has it: started, spoken to over two pipes, interrupted and ended.
#
# Nothing here waits: pipes are written and read as far as they can be at the moment.

PIECE_BYTES <- 65536L # what a pipe holds

# A new worker that begins to load the script.
start_child <- function(here, work, tie, settings_file, number) {
  pipes <- file.path(work, paste0(c("calls.", "answers."), number))
  held <- processx::conn_create_fifo(pipes[[1L]], read = TRUE) # so that the other end can be opened before the worker is there
  command <- c(tie, "Rscript", "--vanilla", file.path(here, "worker.R"), here, settings_file, pipes, number)
  child <- new.env()
  child$calls <- processx::conn_connect_fifo(pipes[[1L]], write = TRUE)
  child$answers <- processx::conn_create_fifo(pipes[[2L]], read = TRUE, encoding = "UTF-8")
  child$process <- processx::process$new(command[[1L]], command[-1L], stdin = NULL, stdout = "", stderr = "")
  child$held <- held
  child$pipes <- pipes
  child$stage <- "loads"
  child$started <- seconds()
  child$unsent <- list()
  child$sent <- 0L
  child$parts <- character()
  child$openapi <- "" # the document of its function, once it has told it
  child$openapi_public <- "" # the same, for those who come through the router
  child$import_ms <- 0
  child
}

# Have a call written to the worker, as soon as the pipe takes it.
send_call <- function(child, request_id, body) {
  head <- c(writeBin(length(body), raw(), size = 4L), charToRaw(request_id))
  child$unsent <- if (length(body) < PIECE_BYTES) list(c(head, body)) else list(head, body) # large ones are not copied
  child$sent <- 0L
  write_on(child)
}

write_on <- function(child) {
  while (length(child$unsent)) {
    part <- child$unsent[[1L]]
    while (child$sent < length(part)) {
      piece <- part[(child$sent + 1L):min(length(part), child$sent + PIECE_BYTES)]
      left <- tryCatch(processx::conn_write(child$calls, piece), error = function(e) piece) # it ends: see `has_ended`
      child$sent <- child$sent + length(piece) - length(left)
      if (length(left)) return()
    }
    child$unsent <- child$unsent[-1L]
    child$sent <- 0L
  }
}

# Wait up to `wait_s` for the worker to say something; what it has said whole, as a list of `kind`, `began`, `took_ms`
# and `text`.
hear <- function(child, wait_s) {
  write_on(child)
  if (length(child$unsent)) wait_s <- min(wait_s, 0.001)
  # Read only what is there: reading before the worker has opened its end would count as the pipe's end.
  heard <- processx::poll(list(child$answers), as.integer(ceiling(wait_s * 1000)))[[1L]]
  while (heard == "ready") {
    said <- tryCatch(processx::conn_read_chars(child$answers), error = function(e) "")
    if (!nzchar(said)) break
    child$parts <- c(child$parts, said)
  }
  last <- length(child$parts)
  if (!last || !endsWith(child$parts[[last]], "\n")) return(list())
  lines <- strsplit(paste(child$parts, collapse = ""), "\n", fixed = TRUE)[[1L]]
  child$parts <- character()
  lapply(lines, parsed_line)
}

parsed_line <- function(line) {
  words <- regmatches(line, regexec("^([a-z_]+) ([0-9.]+) ([0-9.]+) ", line))[[1L]]
  text <- substr(line, nchar(words[[1L]]) + 1L, nchar(line))
  list(kind = words[[2L]], began = as.numeric(words[[3L]]), took_ms = as.numeric(words[[4L]]), text = text)
}

# Whether a worker's process is gone.
has_ended <- function(child) !child$process$is_alive()

# How it ended, in words.
ended_with <- function(child) {
  status <- child$process$get_exit_status()
  if (is.null(status) || is.na(status)) return("status unknown")
  if (status < 0) paste("signal", -status) else paste("status", status)
}

# Let it end by itself: no more calls come, and its `shutdown` has up to `within_s`.
let_end <- function(child, within_s) {
  for (connection in list(child$calls, child$held)) try(close(connection), silent = TRUE)
  child$process$wait(as.integer(max(0, within_s) * 1000))
}

# End it: its process at once, when it still lives, and all that it was given.
discard <- function(child) {
  child$process$kill()
  for (connection in list(child$calls, child$answers, child$held)) try(close(connection), silent = TRUE)
  unlink(child$pipes)
}
