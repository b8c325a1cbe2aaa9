"""One entry of ``services`` -> a Service, part by part."""
