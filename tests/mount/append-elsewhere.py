"""An append that lands elsewhere than the kernel thought, since another mount has appended: whoever
asks for the size then sees all of it, in a mapping as well."""
from model import *

first = Daemon("-o", "watch=0,cache_ttl=300", mnt=T / "first")
second = Daemon("-o", "watch=0,cache_ttl=300", mnt=T / "second")
late = 0
for i in range(400):
    path = T / "second" / f"f{i}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    mapping = Mapping(fd)
    os.fstat(fd)
    with open(T / "first" / f"f{i}", "ab") as f:
        f.write(b"1" * 3000)
    os.write(fd, b"2" * 2000)
    size = os.fstat(fd).st_size
    same(5000, size, "size")
    late += mapping.page(1) != (b"2" * 904).ljust(BLOCK, b"\0")
    mapping.close()
    os.close(fd)
same(0, late, "mappings that did not grow")
first.umount()
second.umount()
done()
