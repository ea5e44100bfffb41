# This file is what an instance is told at its start: `instance.json`, checked.

SOCKET_PATH_BYTES <- 100L # the kernel takes 107, and a socket is made under a longer name first

# The settings in the file `path`; unknown ones are ignored. Signals `invalid_config`, which names every problem.
read_config <- function(path, instance_id) {
  settings <- tryCatch(
    suppressWarnings(jsonlite::fromJSON(path, simplifyVector = FALSE)),
    error = function(e) refuse("invalid_config", paste0(path, " cannot be read, or is not JSON"))
  )
  checked <- lapply(names(RULES), function(name) check_setting(settings, name, RULES[[name]]))
  names(checked) <- names(RULES)
  problems <- unlist(lapply(checked, function(each) each$problem))
  if (length(problems)) refuse("invalid_config", paste(problems, collapse = "\n"))
  instance <- lapply(checked, function(each) each$value)
  if (instance$instance_id != instance_id) {
    refuse("invalid_config", paste0(path, " is for instance '", instance$instance_id, "', not '", instance_id, "'"))
  }
  instance$socket <- instance$sockets[[1L]]
  most <- most_by(instance$memory_bytes, MEMORY_SHARE)
  instance$is_bound_by_memory <- most < instance$max_body_bytes
  instance$max_body_bytes <- min(most, instance$max_body_bytes)
  instance
}

is_text <- function(pattern) function(value) is.character(value) && length(value) == 1L && grepl(pattern, value)

is_number <- function(least, whole = FALSE) {
  function(value) {
    is.numeric(value) && length(value) == 1L && is.finite(value) && value >= least && (!whole || value == round(value))
  }
}

is_one_socket <- function(value) {
  is.list(value) && length(value) == 1L && is_text("^/")(value[[1L]]) &&
    nchar(value[[1L]], "bytes") <= SOCKET_PATH_BYTES
}

rule <- function(holds, looks, default = NULL) list(holds = holds, looks = looks, default = default)

RULES <- list(
  instance_id = rule(is_text("."), "a text that is not empty"),
  version_id = rule(is_text("^[0-9a-f]{24}$"), "24 lower-case hex digits"),
  version_number = rule(is_number(1, whole = TRUE), "a whole number of at least 1"),
  model_id = rule(is_text("."), "a text that is not empty"),
  file = rule(is_text("."), "a text that is not empty"),
  "function" = rule(is_text("."), "a text that is not empty"),
  project_dir = rule(is_text("^/"), "an absolute path"),
  sockets = rule(is_one_socket, "a list of one absolute path of at most 100 bytes: R has one worker an instance"),
  exit_file = rule(is_text("^/"), "an absolute path"),
  request_timeout_s = rule(is_number(0.001), "a number of at least 0.001"),
  max_body_bytes = rule(is_number(1, whole = TRUE), "a whole number of at least 1", 64 * 1024 * 1024),
  memory_bytes = rule(is_number(0, whole = TRUE), "a whole number of at least 0", 0),
  grace_s = rule(is_number(0), "a number of at least 0", 30),
  example_input = rule(is_text(""), "a text", "")
)

check_setting <- function(settings, name, rule) {
  value <- if (name %in% names(settings)) settings[[name]] else rule$default
  if (rule$holds(value)) return(list(value = value))
  must <- paste("must be", rule$looks)
  if (!name %in% names(settings)) return(list(problem = paste0(name, " is not set; it ", must)))
  got <- if (is.character(value)) paste0("'", value, "'") else jsonlite::toJSON(value, auto_unbox = TRUE, null = "null")
  list(problem = paste0(name, " ", must, ", got ", got))
}
