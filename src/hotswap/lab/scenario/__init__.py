"""The races, a short file each: ``contract`` says what such a file has, ``switches`` which fixes can be left out."""
