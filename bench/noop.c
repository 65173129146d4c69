/* Does nothing: what it costs to start and end a static program, or a container of one. */
int main(void)
{
	return 0;
}
