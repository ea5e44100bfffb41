# This file is the OpenAPI 3.1 document of the function, for people and programs: what it takes, and what it answers.
#
# It is made of what binding decides by, and has the shape of the document that the Python harness makes.

WHY_NOT <- list(
  "400" = "The body is not JSON, or does not fit the function",
  "413" = "The body is too large",
  "415" = "The body is no JSON by its content type",
  "500" = "The function failed, or returned what JSON cannot hold",
  "503" = "Every worker is busy",
  "504" = "The call took longer than the request timeout"
)
PLAIN_CALLS <- c("c", "list", "I", "(", "-", "+") # what a default may be made with, to be shown
PLAIN_EMPTY <- c("character", "numeric", "integer", "logical") # the same, of nothing
TOKEN <- "An access token of the model; one that is not restricted asks for none"
WAYS_IN <- list(
  token = list(type = "http", scheme = "bearer", description = TOKEN),
  basic = list(type = "http", scheme = "basic", description = paste0(TOKEN, ". User name and password are both the token"))
)
ANYTHING <- structure(list(), names = character())
ENVELOPE <- list(
  result = ANYTHING,
  model_time_in_ms = list(type = "integer", description = "milliseconds in the function"),
  timing = list(type = "number", description = "the same, not rounded"),
  request_id = list(type = "string"),
  release = list(type = "object", properties = list(
    harness_version = list(type = "string"),
    model_version = list(type = "string"),
    model_version_number = list(type = "integer")
  ))
)

# The document as text, on one line; "" when it cannot be made, which keeps no model from being served.
# With `is_public` it is for those who come through the router, which asks for a token; it says where in `servers`.
description <- function(binding, fun, instance, is_public = FALSE) {
  tryCatch(encode(described_whole(binding, fun, instance, is_public)), error = function(e) {
    log_event("not_described", trace = described(e))
    ""
  })
}

described_whole <- function(binding, fun, instance, is_public) {
  comment <- comment_of(fun)
  call <- list(
    operationId = binding$name,
    summary = if (nzchar(comment$summary)) comment$summary else paste0("Call ", binding$name, "()"),
    description = comment$text,
    requestBody = list(required = TRUE, content = list("application/json" = request_of(binding, fun, comment, instance))),
    responses = c(list("200" = success_of()), lapply(WHY_NOT, error_of))
  )
  health <- list(summary = "Whether this model answers", responses = list("200" = list(description = "It does")))
  errors <- object_of(list(errors = list(type = "array", items = list(type = "string"), minItems = 1L)), "errors")
  c(
    list(
      openapi = "3.1.0",
      info = list(title = binding$name, version = whole(instance$version_number), description = comment$text),
      servers = list(list(url = "."))
    ),
    if (is_public) list(security = lapply(names(WAYS_IN), function(way) structure(list(list()), names = way))),
    list(
      paths = c(list("/model" = list(post = call)), if (!is_public) list("/health" = list(get = health))),
      components = c(list(schemas = list(Errors = errors)), if (is_public) list(securitySchemes = WAYS_IN))
    )
  )
}

request_of <- function(binding, fun, comment, instance) {
  ways <- ways_of(binding, schemas_of(binding, fun, comment))
  media <- list(schema = if (length(ways) == 1L) ways[[1L]] else list(oneOf = ways))
  example <- instance$example_input
  if (is.null(example) || !nzchar(example)) return(media)
  c(media, tryCatch(list(example = decode(charToRaw(enc2utf8(example)))), not_readable = function(e) list()))
}

# By name, and by position where what is needed can be given so.
ways_of <- function(binding, schemas) {
  further <- if (binding$takes_any) ANYTHING else FALSE
  by_name <- c(object_of(schemas, binding$required), list(additionalProperties = further))
  slots <- binding$by_position
  needed <- c(0L, which(slots %in% binding$required))
  by_position <- list(type = "array", minItems = max(needed), items = further)
  titled <- lapply(slots, function(name) c(list(title = name), schemas[[name]]))
  if (length(slots)) by_position$prefixItems <- titled
  ways <- list(object_of(list(data = by_name), "data"))
  if (any(binding$only_by_name %in% binding$required)) return(ways)
  c(ways, list(object_of(list(parameters = by_position), "parameters")))
}

# Of every argument its schema, by name: R does not tell types, but what people wrote and what stands in for it.
schemas_of <- function(binding, fun, comment) {
  formal <- formals(args(fun))
  chosen <- asked_about(fun, "match.arg")
  names <- c(binding$by_position, binding$only_by_name)
  schemas <- lapply(names, function(name) {
    told <- comment$parameters[[name]]
    default <- plain_default(formal[[name]])
    if (name %in% chosen && is.character(default$default)) {
      default <- list(enum = I(default$default), default = default$default[[1L]])
    }
    schema <- c(if (!is.null(told)) list(description = told), default)
    if (length(schema)) schema else ANYTHING
  })
  structure(schemas, names = as.character(names))
}

# `list(default = value)` of an argument's default that is a constant or made of such; else an empty list.
plain_default <- function(written) {
  if (!is_plain(written)) return(list())
  value <- eval(written, baseenv())
  tryCatch(
    {
      encode(value)
      list(default = value)
    },
    error = function(e) list()
  )
}

is_plain <- function(written) {
  if (is.symbol(written)) return(as.character(written) %in% c("T", "F"))
  if (!is.call(written)) return(is.null(written) || is.atomic(written))
  made_with <- if (is.symbol(written[[1L]])) as.character(written[[1L]]) else ""
  if (length(written) == 1L && made_with %in% PLAIN_EMPTY) return(TRUE)
  made_with %in% PLAIN_CALLS && all(vapply(as.list(written)[-1L], is_plain, NA))
}

success_of <- function() {
  content <- list("application/json" = list(schema = object_of(ENVELOPE, names(ENVELOPE))))
  list(description = "What the function returned", content = content)
}

error_of <- function(why) {
  schema <- list("$ref" = "#/components/schemas/Errors")
  list(description = why, content = list("application/json" = list(schema = schema)))
}

object_of <- function(properties, required) list(type = "object", properties = properties, required = I(required))
